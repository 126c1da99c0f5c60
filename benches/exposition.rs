//! What a scrape costs: rendering 10,000 domains, compressing them, and the page that is shared.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench stops at what should not happen, and prints its figures"
)]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compression, write::GzEncoder};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::exposition::{BuildInfo, Exposition, Format, SelfMetrics, render_domains};
use jdcloud_cdn_exporter::model::{
    AccountName, Domain, Endpoint, Field, Reading, Snapshot, Values, VisibilityRule, Window,
};
use jdcloud_cdn_exporter::store::{Report, RosterEntry, Store};

const DOMAINS: u32 = 10_000;

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

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("within range")
}

/// A number with two decimals, as the provider gives, that differs by domain and window.
fn varied(seed: u32, most: f64) -> f64 {
    let mixed = seed.wrapping_mul(2_654_435_761) >> 8;
    (f64::from(mixed) / f64::from(1_u32 << 24) * most * 100.0).round() / 100.0
}

fn reading(endpoint: Endpoint, domain: u32, place: u32) -> Reading {
    let seed = domain * 16 + place;
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

fn store(count: u32) -> (Arc<Store>, Arc<SelfMetrics>) {
    let self_metrics = SelfMetrics::new(BUILD).expect("the names differ");
    let roster: Vec<_> = (0..count)
        .map(|n| RosterEntry {
            source: 0,
            domain: Domain::parse(&format!("cdn{n}.customer{}.example.com", n % 97)).expect("is a host name"),
            account: AccountName::new("jcloud_00"),
            endpoints: Endpoint::ALL.to_vec(),
        })
        .collect();
    let store = Store::new(RULE, &roster);
    for (n, entry) in (0..).zip(&roster) {
        for endpoint in Endpoint::ALL {
            let readings: Vec<_> = (0..12).map(|place| reading(endpoint, n, place)).collect();
            let report = Report {
                source: 0,
                domain: &entry.domain,
                endpoint,
                outcome: Ok(&readings),
            };
            store.report(now(), [report], self_metrics.as_ref());
        }
    }
    (Arc::new(store), self_metrics)
}

fn plain(snapshot: &Snapshot, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    render_domains(snapshot, now(), format, &mut out).expect("a Vec takes everything");
    out
}

fn render(c: &mut Criterion) {
    let (store, self_metrics) = store(DOMAINS);
    let snapshot = store.snapshot();
    let text = plain(&snapshot, Format::Text);
    let lines = text.split(|byte| *byte == b'\n').count() - 1;
    println!("{DOMAINS} domains: {lines} lines, {} bytes", text.len());

    let mut group = c.benchmark_group("render");
    group.throughput(Throughput::Bytes(u64::try_from(text.len()).expect("fits")));
    for format in Format::ALL {
        group.bench_function(BenchmarkId::new("plain", format!("{format:?}")), |b| {
            b.iter(|| plain(black_box(&snapshot), format));
        });
    }
    for level in [1, 2, 3, 4, 5, 6] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&text).expect("a Vec takes everything");
        let size = encoder.finish().expect("a Vec takes everything").len();
        group.bench_function(
            BenchmarkId::new("gzip", format!("level {level}, {size} bytes")),
            |b| {
                b.iter(|| {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
                    encoder
                        .write_all(black_box(&text))
                        .expect("a Vec takes everything");
                    encoder.finish()
                });
            },
        );
    }
    group.finish();

    c.bench_function("self metrics", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            self_metrics
                .render(Format::Text, &mut out)
                .expect("a Vec takes everything");
            out
        });
    });
}

fn page(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("page");
    let (store, self_metrics) = store(DOMAINS);
    let clock = ManualClock::new(now());
    let exposition = Exposition::new(store, self_metrics, Clock::Manual(clock.clone()));
    for format in Format::ALL {
        for gzip in [false, true] {
            let name = format!("{format:?}{}", if gzip { " gzip" } else { "" });
            group.bench_function(BenchmarkId::new("cached", &name), |b| {
                b.iter(|| runtime.block_on(exposition.page(format, gzip)));
            });
            group.bench_function(BenchmarkId::new("rendered", &name), |b| {
                b.iter(|| {
                    // The clock steps back by a tick, so the last rendering is not true any more.
                    clock.set(clock.now() - TimeDelta::nanoseconds(1));
                    runtime.block_on(exposition.page(format, gzip))
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = render, page
}
criterion_main!(benches);
