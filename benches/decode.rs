//! What decoding costs: replies of both endpoints as the simulator prints them, at the sizes that
//! an exporter meets, in bytes of reply per second on one core.
#![allow(clippy::expect_used, reason = "a bench stops at what should not happen")]

use std::hint::black_box;

use chrono::{DateTime, FixedOffset};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jdcloud_cdn_exporter::model::{Domain, Endpoint, LabelledBy, Units, Window, WindowRange};
use jdcloud_cdn_exporter::provider::{Asked, decode};
use jdcloud_cdn_exporter::simulator::reply::{Question, Style, render};
use jdcloud_cdn_exporter::simulator::{Habits, IdleRatio, Lateness, Traffic};

/// Domains in a call, and windows: one domain and the default `poll.window`; a full batch of
/// `origin_ratio`; a day of a large batch.
const SIZES: [(u32, u32); 3] = [(1, 12), (20, 12), (100, 288)];

const NOW: i64 = 1_800_000_000;

fn beijing() -> FixedOffset {
    FixedOffset::east_opt(8 * 3_600).expect("is in range")
}

fn question(endpoint: Endpoint, domains: u32, windows: u32) -> Question {
    let last = Window::ending_at(NOW).expect("a window ends then");
    Question {
        endpoint,
        domains: (0..domains)
            .map(|n| Domain::parse(&format!("cdn{n}.customer.example.com")).expect("is a host name"))
            .collect(),
        range: WindowRange {
            first: last.minus(windows - 1),
            last,
        },
    }
}

fn reply(question: &Question) -> String {
    let traffic = Traffic {
        lateness: Lateness::PROMPT,
        ..Traffic::new(1)
    };
    let style = Style {
        origin_ratio_label: LabelledBy::End,
        time_zone: beijing(),
        idle_ratio: IdleRatio::Dash,
        habits: Habits::NONE,
    };
    let now = DateTime::from_timestamp(NOW, 0).expect("is in range");
    render(question, &traffic, &style, now)
}

fn decoding(c: &mut Criterion) {
    for endpoint in Endpoint::ALL {
        let mut group = c.benchmark_group(format!("decode {endpoint}"));
        for (domains, windows) in SIZES {
            let question = question(endpoint, domains, windows);
            let reply = reply(&question);
            let asked = Asked {
                domains: &question.domains,
                range: question.range,
                zone: beijing(),
                units: Units::Decimal,
            };
            let answer = decode(endpoint, reply.as_bytes(), &asked).expect("a good reply");
            let readings: usize = answer.readings.iter().map(Vec::len).sum();
            assert_eq!(readings, question.domains.len() * question.range.count());

            group.throughput(Throughput::BytesDecimal(
                u64::try_from(reply.len()).expect("fits"),
            ));
            let size = format!("{domains} x {windows}, {} bytes", reply.len());
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| decode(endpoint, black_box(reply.as_bytes()), &asked));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decoding
}
criterion_main!(benches);
