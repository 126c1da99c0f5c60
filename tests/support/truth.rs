//! What the metrics must show, computed from the simulator's traffic by the words of the
//! documentation and not by the exporter's code, and the means to compare it with what they do show.

use std::collections::BTreeMap;

use jdcloud_cdn_exporter::model::{Domain, Window};
use jdcloud_cdn_exporter::simulator::Simulator;

/// Series and their values; a series is written `name{label="value"}` with its labels in order.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Bits in a decimal megabit, bytes in a decimal megabyte.
pub(crate) const DECIMAL: f64 = 1e6;
/// The same in base 2.
pub(crate) const BINARY: f64 = 1_048_576.0;

/// A series from its parts.
pub(crate) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let mut labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// The window that ends at this Unix time.
pub(crate) fn window(end: i64) -> Window {
    Window::ending_at(end).expect("a multiple of five minutes")
}

/// The end of the newest window that ended at least `settle` seconds before `now`.
pub(crate) fn newest_settled(now: i64, settle: i64) -> i64 {
    (now - settle).div_euclid(300) * 300
}

/// What is shown of a domain at `bandwidth_flow`, of the window that ends at `end`.
pub(crate) fn bandwidth_flow(simulator: &Simulator, domain: &str, end: i64, mega: f64) -> Samples {
    let truth = simulator.truth(&Domain::parse(domain).unwrap(), window(end));
    let of = [("domain", domain)];
    let at = [("domain", domain), ("endpoint", "bandwidth_flow")];
    Samples::from([
        (
            series("jdcloud_cdn_bandwidth_bytes_per_second", &of),
            truth.bandwidth_mbps * mega / 8.0,
        ),
        (series("jdcloud_cdn_flow_bytes", &of), truth.flow_mb * mega),
        (series("jdcloud_cdn_sample_timestamp_seconds", &at), seconds(end)),
        (series("jdcloud_cdn_up", &at), 1.0),
    ])
}

/// What is shown of a domain at `origin_ratio`, of the window that ends at `end`.
pub(crate) fn origin_ratio(simulator: &Simulator, domain: &str, end: i64, mega: f64) -> Samples {
    let truth = simulator.truth(&Domain::parse(domain).unwrap(), window(end));
    let of = [("domain", domain)];
    let at = [("domain", domain), ("endpoint", "origin_ratio")];
    let mut samples = Samples::from([
        (
            series("jdcloud_cdn_edge_bandwidth_bytes_per_second", &of),
            truth.edge_mbps * mega / 8.0,
        ),
        (
            series("jdcloud_cdn_origin_bandwidth_bytes_per_second", &of),
            truth.origin_mbps * mega / 8.0,
        ),
        (series("jdcloud_cdn_sample_timestamp_seconds", &at), seconds(end)),
        (series("jdcloud_cdn_up", &at), 1.0),
    ]);
    if let Some(percent) = truth.origin_ratio_percent {
        samples.insert(series("jdcloud_cdn_origin_ratio", &of), percent / 100.0);
    }
    samples
}

/// What says through which account a domain is read.
pub(crate) fn domain_info(domain: &str, account: &str) -> Samples {
    let labels = [("domain", domain), ("account", account)];
    Samples::from([(series("jdcloud_cdn_domain_info", &labels), 1.0)])
}

/// A count of seconds as a sample shows it.
pub(crate) fn seconds(count: i64) -> f64 {
    f64::from(u32::try_from(count).expect("an instant from 1970 to 2106"))
}

/// Why two sets of samples differ, series by series; empty if they do not. Values may differ by
/// what a double loses in a few operations.
pub(crate) fn differences(expected: &Samples, shown: &Samples) -> Vec<String> {
    let mut found = Vec::new();
    for (series, value) in expected {
        match shown.get(series) {
            None => found.push(format!("{series} is missing, expected {value}")),
            Some(other) if (other - value).abs() > value.abs() * 1e-12 => {
                found.push(format!("{series} is {other}, expected {value}"));
            }
            Some(_) => {}
        }
    }
    let extra = shown.keys().filter(|series| !expected.contains_key(*series));
    found.extend(extra.map(|series| format!("{series} is shown, expected none")));
    found
}
