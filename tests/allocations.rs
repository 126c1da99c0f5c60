//! Decoding allocates no more often for a day of windows than for an hour of them: what grows with
//! the number of windows is the readings themselves, in memory that is taken once for each domain.
//!
//! A binary of its own, because the counter is the allocator of the whole binary.
#![allow(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use allocation_counter::measure;
use chrono::{DateTime, FixedOffset};
use jdcloud_cdn_exporter::model::{Domain, Endpoint, LabelledBy, Reading, Units, Window, WindowRange};
use jdcloud_cdn_exporter::provider::{Asked, decode};
use jdcloud_cdn_exporter::simulator::reply::{Question, Style, render};
use jdcloud_cdn_exporter::simulator::{Habits, IdleRatio, Lateness, Traffic};

const NOW: i64 = 1_800_000_000;
const DOMAINS: usize = 20;

struct Cost {
    allocations: u64,
    bytes: u64,
}

/// What decoding a reply of so many windows costs.
fn cost(endpoint: Endpoint, windows: u32) -> Cost {
    let zone = FixedOffset::east_opt(8 * 3_600).unwrap();
    let last = Window::ending_at(NOW).unwrap();
    let question = Question {
        endpoint,
        domains: (0..DOMAINS)
            .map(|n| Domain::parse(&format!("cdn{n}.example.com")).unwrap())
            .collect(),
        range: WindowRange {
            first: last.minus(windows - 1),
            last,
        },
    };
    let traffic = Traffic {
        lateness: Lateness::PROMPT,
        ..Traffic::new(1)
    };
    let style = Style {
        origin_ratio_label: LabelledBy::End,
        time_zone: zone,
        idle_ratio: IdleRatio::Dash,
        habits: Habits::NONE,
    };
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    let reply = render(&question, &traffic, &style, now);
    let asked = Asked {
        domains: &question.domains,
        range: question.range,
        zone,
        units: Units::Decimal,
    };
    let mut answer = None;
    let counted = measure(|| answer = Some(decode(endpoint, reply.as_bytes(), &asked)));
    let answer = answer.unwrap().unwrap();
    let readings: usize = answer.readings.iter().map(Vec::len).sum();
    assert_eq!(readings, DOMAINS * question.range.count(), "all of it is decoded");
    Cost {
        allocations: counted.count_total,
        bytes: counted.bytes_total,
    }
}

#[test]
fn the_number_of_allocations_does_not_depend_on_the_number_of_windows() {
    for endpoint in Endpoint::ALL {
        let (hour, day) = (cost(endpoint, 12), cost(endpoint, 288));
        assert!(
            hour.allocations >= 20,
            "{endpoint}: the counter does not count, or readings are held elsewhere: {}",
            hour.allocations
        );
        assert_eq!(hour.allocations, day.allocations, "{endpoint}");
    }
}

#[test]
fn the_memory_that_grows_with_the_number_of_windows_is_the_readings() {
    for endpoint in Endpoint::ALL {
        let (hour, day) = (cost(endpoint, 12), cost(endpoint, 288));
        let readings = DOMAINS * (288 - 12) * size_of::<Reading>();
        assert_eq!(
            day.bytes - hour.bytes,
            u64::try_from(readings).unwrap(),
            "{endpoint}"
        );
    }
}
