//! The families of true time and what they must show, computed from the simulator's traffic by the words
//! of the documentation and not by the exporter's code.

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::{Domain, Window};
use jdcloud_cdn_exporter::simulator::{Simulator, Truth};

/// From one window's end to the next, in seconds.
pub(crate) const WINDOW: i64 = 300;

/// The name of a family, and the figure that it shows, in bytes, bytes per second and ratios.
pub(crate) type Figure = (&'static str, fn(&Truth) -> Option<f64>);

/// As the documents have it, from decimal megabits, megabytes and percent.
pub(crate) const FIGURES: [Figure; 5] = [
    BANDWIDTH,
    FLOW,
    ORIGIN,
    EDGE,
    ("jdcloud_cdn_window_origin_ratio", |truth| {
        Some(truth.origin_ratio_percent? / 100.0)
    }),
];

pub(crate) const BANDWIDTH: Figure = ("jdcloud_cdn_window_bandwidth_bytes_per_second", |truth| {
    Some(truth.bandwidth_mbps * 1e6 / 8.0)
});

pub(crate) const FLOW: Figure = ("jdcloud_cdn_window_flow_bytes", |truth| Some(truth.flow_mb * 1e6));

pub(crate) const ORIGIN: Figure = ("jdcloud_cdn_window_origin_bandwidth_bytes_per_second", |truth| {
    Some(truth.origin_mbps * 1e6 / 8.0)
});

pub(crate) const EDGE: Figure = ("jdcloud_cdn_window_edge_bandwidth_bytes_per_second", |truth| {
    Some(truth.edge_mbps * 1e6 / 8.0)
});

/// The windows that end in `(start, end]`, by their ends.
pub(crate) fn ends(start: i64, end: i64) -> impl DoubleEndedIterator<Item = i64> {
    (start.div_euclid(WINDOW) + 1..=end.div_euclid(WINDOW)).map(|place| place * WINDOW)
}

/// The window that ends then.
pub(crate) fn window(end: i64) -> Window {
    Window::ending_at(end).unwrap()
}

/// The whole windows since 1970 at this machine's present, as the end of the newest one.
pub(crate) fn newest_window() -> i64 {
    Clock::System.now().timestamp().div_euclid(WINDOW) * WINDOW
}

/// Whether a family comes from `origin_ratio`, which live domains are not known to.
pub(crate) fn is_of_origin(figure: Figure) -> bool {
    figure.0.contains("_origin_") || figure.0.contains("_edge_")
}

/// What a family must show of a domain for the windows that end in `(start, end]`.
pub(crate) fn truth(
    provider: &Simulator,
    figure: Figure,
    domain: &Domain,
    start: i64,
    end: i64,
) -> Vec<(i64, f64)> {
    ends(start, end)
        .filter_map(|end| Some((end, figure.1(&provider.truth(domain, window(end)))?)))
        .collect()
}
