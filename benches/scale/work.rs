//! One piece of work in a process of its own, so often that it can be measured from outside: by
//! callgrind, or by the processor time that it prints.
//!
//!     work (decode-bandwidth-flow | decode-origin-ratio | render | text-encoder) SIZE TIMES
//!
//! Prints the wall time of one run of the work in nanoseconds, the preparation left out. SIZE is the
//! number of domains.
#![allow(
    clippy::print_stdout,
    reason = "whoever starts it reads its figure from there"
)]

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::exposition::families::FAMILIES;
use jdcloud_cdn_exporter::exposition::{BuildInfo, Exposition, Format, SelfMetrics};
use jdcloud_cdn_exporter::model::{
    AccountName, Domain, Endpoint, LabelledBy, Units, VisibilityRule, Window, WindowRange,
};
use jdcloud_cdn_exporter::provider::{Asked, decode};
use jdcloud_cdn_exporter::simulator::reply::{Question, Style, render};
use jdcloud_cdn_exporter::simulator::{Habits, IdleRatio, Traffic};
use jdcloud_cdn_exporter::store::{Report, RosterEntry, Store};
use prometheus::{Encoder as _, GaugeVec, Opts, Registry, TextEncoder};
use tokio::time::Instant;

/// Some instant at which a window ends.
const NOW: i64 = 1_800_000_000;

/// The default `poll.window`.
const WINDOWS: u32 = 12;

const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::hours(1),
};

const BUILD: BuildInfo = BuildInfo {
    version: "0",
    revision: "bench",
    rustc: "0",
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, size, times] = &arguments[..] else {
        bail!("three arguments are wanted: what, how many domains, how many times");
    };
    let (size, times): (u32, u32) = (size.parse()?, times.parse()?);
    let took = match what.as_str() {
        "decode-bandwidth-flow" => decoding(Endpoint::BandwidthFlow, size, times)?,
        "decode-origin-ratio" => decoding(Endpoint::OriginRatio, size, times)?,
        "render" => rendering(size, times)?,
        "text-encoder" => text_encoder(size, times)?,
        other => bail!("{other} is no work that is known here"),
    };
    println!("{}", took.as_nanos() / u128::from(times.max(1)));
    Ok(())
}

/// How long the work takes so many times.
fn timed(times: u32, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<std::time::Duration> {
    let started = Instant::now();
    for _ in 0..times {
        work()?;
    }
    Ok(started.elapsed())
}

fn decoding(endpoint: Endpoint, domains: u32, times: u32) -> anyhow::Result<std::time::Duration> {
    let question = question(endpoint, (0..domains).map(domain).collect::<Result<_, _>>()?)?;
    let reply = reply(&question)?;
    let asked = asked(&question)?;
    timed(times, || {
        black_box(decode(endpoint, black_box(reply.as_bytes()), &asked)?);
        Ok(())
    })
}

/// From a change to the compressed page, the exporter's own metrics included. One domain changes
/// before each rendering, since nothing is rendered twice.
fn rendering(domains: u32, times: u32) -> anyhow::Result<std::time::Duration> {
    let self_metrics = SelfMetrics::new(BUILD)?;
    let store = Arc::new(store(domains, &self_metrics)?);
    let first = domain(0)?;
    let change = |store: &Store, self_metrics: &SelfMetrics| {
        let report = Report {
            source: 0,
            domain: &first,
            endpoint: Endpoint::BandwidthFlow,
            outcome: Ok(&[]),
        };
        store.report(now(), [report], self_metrics);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    timed(times, || {
        change(&store, &self_metrics);
        // Anew each time: the cache of an old one would serve its page for a while.
        let clock = Clock::Manual(ManualClock::new(now()));
        let exposition = Exposition::new(Arc::clone(&store), Arc::clone(&self_metrics), clock);
        let page = runtime.block_on(exposition.page(Format::Text, true))?;
        ensure!(page.length() > 0, "there is a page");
        Ok(())
    })
}

/// The same series in the `prometheus` crate, as an exporter with gauge vectors has them.
fn text_encoder(domains: u32, times: u32) -> anyhow::Result<std::time::Duration> {
    let registry = Registry::new();
    for family in &FAMILIES {
        let labels = family.source.labels();
        let seconds: &[&str] = match labels {
            ["domain"] => &[""],
            ["domain", "account"] => &["demo"],
            ["domain", "endpoint"] => &Endpoint::ALL.map(Endpoint::name),
            _ => continue,
        };
        let gauge = GaugeVec::new(Opts::new(family.name, family.help), labels)?;
        for n in 0..domains {
            let domain = domain(n)?;
            for second in seconds {
                let values: Vec<&str> = [domain.as_str(), second].into_iter().take(labels.len()).collect();
                gauge.with_label_values(&values).set(f64::from(n) * 12_345.67);
            }
        }
        registry.register(Box::new(gauge))?;
    }
    timed(times, || {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        TextEncoder::new().encode(&registry.gather(), &mut gzip)?;
        black_box(gzip.finish()?);
        Ok(())
    })
}

fn store(domains: u32, self_metrics: &SelfMetrics) -> anyhow::Result<Store> {
    let names: Vec<Domain> = (0..domains).map(domain).collect::<Result<_, _>>()?;
    let roster: Vec<RosterEntry> = names
        .iter()
        .map(|domain| RosterEntry {
            source: 0,
            domain: domain.clone(),
            account: AccountName::new("demo"),
            endpoints: Endpoint::ALL.to_vec(),
        })
        .collect();
    let store = Store::new(RULE, &roster);
    for endpoint in Endpoint::ALL {
        for batch in names.chunks(100) {
            let question = question(endpoint, batch.to_vec())?;
            let answer = decode(endpoint, reply(&question)?.as_bytes(), &asked(&question)?)?;
            let reports = batch
                .iter()
                .zip(&answer.readings)
                .map(|(domain, readings)| Report {
                    source: 0,
                    domain,
                    endpoint,
                    outcome: Ok(readings),
                });
            store.report(now(), reports, self_metrics);
        }
    }
    Ok(store)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap_or_default()
}

fn domain(n: u32) -> Result<Domain, jdcloud_cdn_exporter::model::DomainError> {
    Domain::parse(&format!("cdn{n}.customer{}.example.com", n % 97))
}

fn question(endpoint: Endpoint, domains: Vec<Domain>) -> anyhow::Result<Question> {
    let last = Window::ending_at(NOW).context("a window ends then")?;
    Ok(Question {
        endpoint,
        domains,
        range: WindowRange {
            first: last.minus(WINDOWS - 1),
            last,
        },
    })
}

fn beijing() -> anyhow::Result<FixedOffset> {
    FixedOffset::east_opt(8 * 3_600).context("is in range")
}

fn asked(question: &Question) -> anyhow::Result<Asked<'_>> {
    Ok(Asked {
        domains: &question.domains,
        range: question.range,
        zone: beijing()?,
        units: Units::Decimal,
    })
}

fn reply(question: &Question) -> anyhow::Result<String> {
    let style = Style {
        origin_ratio_label: LabelledBy::End,
        time_zone: beijing()?,
        idle_ratio: IdleRatio::Dash,
        habits: Habits::NONE,
    };
    Ok(render(question, &Traffic::prompt(1), &style, now()))
}
