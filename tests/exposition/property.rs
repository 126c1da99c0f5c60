//! Whatever the store holds, the text reads back as exactly what may be shown.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::exposition::{Format, render_domains};
use jdcloud_cdn_exporter::model::{Endpoint, Field, LastPoll, Reading, Snapshot, Values, Window};
use proptest::prelude::*;

use crate::parse::parse;
use crate::support::{entry, render, snapshot, track, windows_text};

const START: i64 = 1_800_000_000;

/// Windows (places after the start) with their columns, and whether the last poll was usable.
type Known = (BTreeMap<u8, [Option<f64>; 3]>, bool);
type Domain = ([Option<Known>; 2], String);

fn known() -> impl Strategy<Value = Option<Known>> {
    let value = proptest::option::weighted(
        0.7,
        prop_oneof![Just(0.0), 0.0..1e12_f64, any::<u32>().prop_map(f64::from)],
    );
    let columns = [value.clone(), value.clone(), value];
    proptest::option::of((
        proptest::collection::btree_map(0_u8..24, columns, 0..8),
        any::<bool>(),
    ))
}

fn domains() -> impl Strategy<Value = Vec<Domain>> {
    proptest::collection::vec(([known(), known()], ".{0,6}|[\\\\\"\n]{0,3}"), 0..5)
}

fn build(domains: &[Domain]) -> Snapshot {
    let entries = domains.iter().enumerate().map(|(n, (known, account))| {
        let tracks = Endpoint::ALL.map(|endpoint| {
            let (windows, usable) = known[endpoint.index()].as_ref()?;
            let readings: Vec<_> = windows
                .iter()
                .map(|(place, columns)| Reading {
                    window: Window::ending_at(START).unwrap().plus(u32::from(*place)),
                    values: Field::ALL
                        .into_iter()
                        .filter(|field| field.endpoint() == endpoint)
                        .fold(Values::NONE, |values, field| match columns[field.column()] {
                            Some(value) => values.with(field, value),
                            None => values,
                        }),
                })
                .collect();
            let last_poll = if *usable {
                LastPoll::Usable
            } else {
                LastPoll::Empty
            };
            Some(track(endpoint, last_poll, &readings))
        });
        entry(&format!("d{n}.example.com"), account, tracks)
    });
    snapshot(entries.collect())
}

/// The fields of each endpoint, in the order of its columns.
const NAMES: [[&str; 3]; 2] = [
    ["bandwidth_bytes_per_second", "flow_bytes", ""],
    [
        "edge_bandwidth_bytes_per_second",
        "origin_bandwidth_bytes_per_second",
        "origin_ratio",
    ],
];

/// Every sample that should be there, by arithmetic on seconds of the generated windows.
fn expected(domains: &[Domain], now: DateTime<Utc>) -> BTreeMap<String, f64> {
    let age = |place: u8| now - DateTime::from_timestamp(START + 300 * i64::from(place), 0).unwrap();
    let mut samples = BTreeMap::new();
    for (e, endpoint) in ["bandwidth_flow", "origin_ratio"].into_iter().enumerate() {
        let width = if e == 0 { 2 } else { 3 };
        let mut missing = 0;
        for (n, (known, account)) in domains.iter().enumerate() {
            let domain = format!("d{n}.example.com");
            samples.insert(format!("domain_info {domain} {account}"), 1.0);
            let Some((windows, usable)) = &known[e] else {
                continue;
            };
            let given: Vec<_> = windows
                .iter()
                .filter(|(_, columns)| columns[..width].iter().any(Option::is_some))
                .collect();
            let fresh = |place: u8| age(place) <= TimeDelta::minutes(40);
            let settled = |place: u8| age(place) >= TimeDelta::minutes(10);
            let newest_settled = given.iter().rfind(|(place, _)| settled(**place));
            // While nothing has settled yet, the newest window of all decides.
            let decides = newest_settled.or(given.last());
            let up = *usable && decides.is_some_and(|(place, _)| fresh(**place));
            samples.insert(format!("up {domain} {endpoint}"), f64::from(u8::from(up)));
            if let Some((place, columns)) = newest_settled
                && fresh(**place)
            {
                let end = f64::from(u32::try_from(START).unwrap()) + 300.0 * f64::from(**place);
                samples.insert(format!("sample_timestamp_seconds {domain} {endpoint}"), end);
                for (name, value) in NAMES[e].iter().zip(columns.iter().take(width)) {
                    if let Some(value) = value {
                        samples.insert(format!("{name} {domain}"), *value);
                    }
                }
            }
            if !given.is_empty() {
                // Places before the start count as well: the horizon may reach further back.
                missing += (-40_i64..40)
                    .filter(|place| {
                        let age = now - DateTime::from_timestamp(START + 300 * place, 0).unwrap();
                        age >= TimeDelta::minutes(10)
                            && age < TimeDelta::hours(1)
                            && !given.iter().any(|(held, _)| i64::from(**held) == *place)
                    })
                    .count();
            }
        }
        let missing = f64::from(u32::try_from(missing).unwrap());
        samples.insert(format!("exporter_windows_missing {endpoint}"), missing);
    }
    samples.insert("exporter_settle_seconds ".to_owned(), 600.0);
    samples
}

/// Of each family and domain, the times (in this many parts of a second) and values, oldest first.
fn expected_windows(
    domains: &[Domain],
    now: DateTime<Utc>,
    per_second: i64,
) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for (e, names) in NAMES.iter().enumerate() {
        for (n, (known, _)) in domains.iter().enumerate() {
            for (place, columns) in known[e].iter().flat_map(|(windows, _)| windows) {
                let end = START + 300 * i64::from(*place);
                let age = now - DateTime::from_timestamp(end, 0).unwrap();
                if age < TimeDelta::minutes(10) || age >= TimeDelta::hours(1) {
                    continue;
                }
                for (name, value) in names.iter().zip(columns).filter(|(name, _)| !name.is_empty()) {
                    if let Some(value) = value {
                        let samples = series.entry(format!("{name} d{n}.example.com")).or_default();
                        samples.push((end * per_second, *value));
                    }
                }
            }
        }
    }
    series
}

fn read_back(text: &str, format: Format) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for sample in parse(text, format)
        .into_values()
        .flat_map(|family| family.samples)
    {
        let labels: Vec<_> = sample.labels.iter().map(|(_, value)| value.as_str()).collect();
        let name = sample.name.strip_prefix("jdcloud_cdn_").unwrap();
        if name.starts_with("exporter_endpoint_") {
            // Held by tests of its own, which know the traffic.
            continue;
        }
        let key = format!("{name} {}", labels.join(" "));
        assert!(samples.insert(key, sample.value.parse().unwrap()).is_none());
    }
    samples
}

proptest! {
    // A failing case is printed; it belongs into a table test, not into a file beside the tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_reads_back_as_the_visible_snapshot(domains in domains(), millis in -3_600_000_i64..12_000_000) {
        let now = DateTime::from_timestamp(START, 0).unwrap() + TimeDelta::milliseconds(millis);
        let snapshot = build(&domains);
        for format in Format::ALL {
            prop_assert_eq!(read_back(&render(&snapshot, now, format), format), expected(&domains, now));
        }
    }

    /// Every settled window of the horizon, once, with its own timestamp, in order of time.
    #[test]
    fn windows_read_back_as_the_settled_windows(domains in domains(), millis in -3_600_000_i64..12_000_000) {
        let now = DateTime::from_timestamp(START, 0).unwrap() + TimeDelta::milliseconds(millis);
        for (format, per_second) in [(Format::Text, 1_000), (Format::OpenMetrics, 1)] {
            let text = windows_text(build(&domains), now, format);
            let mut got = BTreeMap::new();
            for (family, read) in parse(&text, format) {
                let family = family.strip_prefix("jdcloud_cdn_window_").unwrap();
                for sample in read.samples {
                    let [(label, domain)] = &sample.labels[..] else { panic!("{sample:?}") };
                    prop_assert_eq!(label, "domain");
                    let (value, time) = sample.value.split_once(' ').unwrap();
                    let series: &mut Vec<(i64, f64)> =
                        got.entry(format!("{family} {domain}")).or_default();
                    series.push((time.parse().unwrap(), value.parse().unwrap()));
                }
            }
            prop_assert_eq!(got, expected_windows(&domains, now, per_second));
        }
    }

    /// What a cache relies on.
    #[test]
    fn text_stays_the_same_until_the_instant_that_was_told(
        domains in domains(),
        millis in -3_600_000_i64..12_000_000,
        permille in 0_i32..1_000,
    ) {
        let now = DateTime::from_timestamp(START, 0).unwrap() + TimeDelta::milliseconds(millis);
        let snapshot = build(&domains);
        let mut first = Vec::new();
        let until = render_domains(&snapshot, now, Format::Text, &mut first).unwrap();
        let until = until.unwrap_or(now + TimeDelta::days(30));
        prop_assert!(until > now);
        for later in [(until - now) / 1_000 * permille, until - now - TimeDelta::nanoseconds(1)] {
            let text = render(&snapshot, now + later, Format::Text);
            prop_assert_eq!(text.as_bytes(), &first[..], "after {}", later);
        }
    }
}
