//! How fast a backfill is written when the provider is not the limit: on one core, into nothing.

use std::hint::black_box;
use std::io::{BufWriter, sink};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jdcloud_cdn_exporter::backfill::{history::History, writer};
use jdcloud_cdn_exporter::exposition::Format;
use jdcloud_cdn_exporter::model::{
    Domain, Endpoint, Field, Reading, Values, Window, WindowRange, stable_hash,
};

/// 31 days of 20 domains at both endpoints: 892,800 samples.
fn histories() -> Vec<History> {
    let first = Window::newest_ended(chrono::DateTime::UNIX_EPOCH).plus(5_800_000);
    let range = WindowRange {
        first,
        last: first.plus(31 * 288 - 1),
    };
    let mut histories = Vec::new();
    for domain in (0..20).filter_map(|i| Domain::parse(&format!("d{i}.example.com")).ok()) {
        for endpoint in Endpoint::ALL {
            let mut history = History::new(domain.clone(), endpoint, range);
            let readings: Vec<Reading> = (0..31 * 288)
                .map(|place| {
                    let window = first.plus(place);
                    // Hundredths of the provider's units, as it prints them.
                    let hash = stable_hash(format!("{domain}{place}").as_bytes());
                    let amount = f64::from(u32::try_from(hash >> 44).unwrap_or(0)) / 100.0;
                    let values = Values::NONE.with(Field::Bandwidth, amount * 125_000.0);
                    let values = match endpoint {
                        Endpoint::BandwidthFlow => values.with(Field::Flow, amount * 1e6),
                        Endpoint::OriginRatio => values
                            .with(Field::OriginBandwidth, amount * 12_500.0)
                            .with(Field::OriginRatio, amount.fract()),
                    };
                    Reading { window, values }
                })
                .collect();
            history.fill(&readings);
            histories.push(history);
        }
    }
    histories
}

fn write(criterion: &mut Criterion) {
    let histories = histories();
    let mut group = criterion.benchmark_group("backfill");
    group.sample_size(20);
    group.throughput(Throughput::Elements(31 * 288 * 20 * 5));
    for format in Format::ALL {
        group.bench_function(format!("write {format:?}"), |bencher| {
            bencher.iter(|| {
                let mut out = BufWriter::with_capacity(256 * 1024, sink());
                writer::write(&mut out, format, black_box(&histories), || true).ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
