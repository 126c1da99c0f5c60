//! What `/windows` costs: 1,000 domains, a day, both endpoints, as one process would hold them.
//! Prints seconds and resident memory instead of sampling: the memory is the point.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench stops at what should not happen, and prints its figures"
)]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::exposition::{BuildInfo, Exposition, Format, SelfMetrics, WindowsPage};
use jdcloud_cdn_exporter::model::{
    AccountName, Domain, Endpoint, Field, Reading, Values, VisibilityRule, Window,
};
use jdcloud_cdn_exporter::store::{Report, RosterEntry, Store};
use tokio::time::Instant;

const DOMAINS: u32 = 1_000;

const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::days(1),
};

const BUILD: BuildInfo = BuildInfo {
    version: "0",
    revision: "bench",
    rustc: "0",
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("within range")
}

/// A number with two decimals, as the provider gives, that differs by domain and window.
fn varied(seed: u32, most: f64) -> f64 {
    let mixed = seed.wrapping_mul(2_654_435_761) >> 8;
    (f64::from(mixed) / f64::from(1_u32 << 24) * most * 100.0).round() / 100.0
}

fn reading(endpoint: Endpoint, domain: u32, place: u32) -> Reading {
    let seed = domain * 2_048 + place;
    let megabits = varied(seed, 900.0);
    let values = match endpoint {
        Endpoint::BandwidthFlow => Values::NONE
            .with(Field::Bandwidth, megabits * 125_000.0)
            .with(Field::Flow, (megabits * 3_750.0).round() / 100.0 * 1e6),
        Endpoint::OriginRatio => Values::NONE
            .with(Field::EdgeBandwidth, megabits * 125_000.0)
            .with(Field::OriginBandwidth, varied(seed + 7, 90.0) * 125_000.0)
            .with(Field::OriginRatio, varied(seed + 9, 100.0) / 100.0),
    };
    Reading {
        window: Window::newest_ended(now()).minus(place),
        values,
    }
}

fn domain(n: u32) -> Domain {
    Domain::parse(&format!("cdn{n}.customer{}.example.com", n % 97)).expect("is a host name")
}

/// One poll of every domain at both endpoints.
fn poll(store: &Store, self_metrics: &SelfMetrics) {
    for n in 0..DOMAINS {
        for endpoint in Endpoint::ALL {
            let readings: Vec<_> = (0..288).map(|place| reading(endpoint, n, place)).collect();
            let report = Report {
                source: 0,
                domain: &domain(n),
                endpoint,
                outcome: Ok(&readings),
            };
            store.report(now(), [report], self_metrics);
        }
    }
}

/// Resident memory now and at its highest, in MB; absent where the system does not tell.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |key| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(key)?
                    .split_whitespace()
                    .next()?
                    .parse::<u32>()
                    .ok()
            })
            .map_or_else(
                || "?".to_owned(),
                |kilobytes| format!("{:.1}", f64::from(kilobytes) / 1024.0),
            )
    };
    format!("{} MiB resident, {} at most", line("VmRSS:"), line("VmHWM:"))
}

fn main() {
    let self_metrics = SelfMetrics::new(BUILD).expect("the names differ");
    let roster: Vec<_> = (0..DOMAINS)
        .map(|n| RosterEntry {
            source: 0,
            domain: domain(n),
            account: AccountName::new("jcloud_00"),
            endpoints: Endpoint::ALL.to_vec(),
        })
        .collect();
    println!("before: {}", resident());
    let store = Arc::new(Store::new(RULE, &roster));
    poll(&store, &self_metrics);
    println!("store: {}", resident());
    let clock = Clock::Manual(ManualClock::new(now()));
    let exposition = Exposition::new(Arc::clone(&store), Arc::clone(&self_metrics), clock);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for format in Format::ALL {
        for gzip in [false, true] {
            for _ in 0..3 {
                // Everything has changed, and the page holds what was before.
                poll(&store, &self_metrics);
                let began = Instant::now();
                let page = runtime
                    .block_on(exposition.windows(format, gzip))
                    .expect("a page");
                let (bytes, parts) = match page {
                    WindowsPage::Whole(page) => (page.length(), page.parts.len()),
                    WindowsPage::Pieces { text, .. } => {
                        text.fold((0, 0), |(bytes, parts), piece| (bytes + piece.len(), parts + 1))
                    }
                };
                println!(
                    "{format:?}{}: {:?}, {bytes} bytes in {parts} parts; {}",
                    if gzip { " gzip" } else { "" },
                    began.elapsed(),
                    resident()
                );
            }
        }
    }
}
