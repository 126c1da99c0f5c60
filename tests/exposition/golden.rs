//! Whole expositions against files whose numbers were computed from the documents' examples
//! (1 Mbit/s = 125,000 bytes per second, 1 MB = 1,000,000 bytes), not by this program.

use jdcloud_cdn_exporter::exposition::Format;
use jdcloud_cdn_exporter::model::{Endpoint, Field, LastPoll, Reason, Snapshot};

use crate::parts::{promtool_is_silent, reference_parser_accepts};
use crate::support::{
    at, busy_self_metrics, entry, fresh_self_metrics, own_text, reading, render, snapshot, track,
    windows_text,
};

const FLOW: Endpoint = Endpoint::BandwidthFlow;
const RATIO: Endpoint = Endpoint::OriginRatio;

/// The examples of both documents, those of `origin_ratio` moved to the day of the other: the
/// newer of its two windows (09:35) is not settled at 09:40.
fn documented() -> Snapshot {
    let flow = |end, megabits: f64, megabytes: f64| {
        reading(
            end,
            &[
                (Field::Bandwidth, megabits * 125e3),
                (Field::Flow, megabytes * 1e6),
            ],
        )
    };
    let live = [
        flow("09:15:00", 6.1, 228.88),
        flow("09:20:00", 122.07, 4577.64),
        flow("09:25:00", 122.07, 4577.64),
        flow("09:30:00", 115.97, 4348.75),
    ];
    let ratio = |end, edge, origin, ratio| {
        reading(
            end,
            &[
                (Field::EdgeBandwidth, edge),
                (Field::OriginBandwidth, origin),
                (Field::OriginRatio, ratio),
            ],
        )
    };
    let static_site = [
        ratio("09:25:00", 807_500.0, 191_250.0, 0.2362),
        ratio("09:35:00", 1_687_500.0, 101_250.0, 0.06),
    ];
    snapshot(vec![
        entry(
            "play.live.com",
            "jcloud_00",
            [Some(track(FLOW, LastPoll::Usable, &live)), None],
        ),
        entry(
            "www.a.com",
            "jcloud_00",
            [
                Some(track(FLOW, LastPoll::Never, &[])),
                Some(track(RATIO, LastPoll::Usable, &static_site)),
            ],
        ),
    ])
}

/// A failed poll keeps its values, a stale window loses them, an absent ratio is not 0 while a
/// bandwidth of 0 is; and an account name needs every escape.
fn trouble() -> Snapshot {
    let account = "京东 \"east\"\\one\nline";
    let kept = reading(
        "09:25:00",
        &[(Field::Bandwidth, 762_500.0), (Field::Flow, 228_880_000.0)],
    );
    let idle = reading(
        "09:30:00",
        &[(Field::EdgeBandwidth, 0.0), (Field::OriginBandwidth, 0.0)],
    );
    let old = reading("08:55:00", &[(Field::Bandwidth, 1.0), (Field::Flow, 300.0)]);
    snapshot(vec![
        entry(
            "failed.example.com",
            account,
            [
                Some(track(FLOW, LastPoll::Failed(Reason::Timeout), &[kept])),
                None,
            ],
        ),
        entry(
            "partial.example.com",
            account,
            [None, Some(track(RATIO, LastPoll::Usable, &[idle]))],
        ),
        entry(
            "stale.example.com",
            account,
            [Some(track(FLOW, LastPoll::Usable, &[old])), None],
        ),
    ])
}

fn unpolled() -> Snapshot {
    let tracks = [
        Some(track(FLOW, LastPoll::Never, &[])),
        Some(track(RATIO, LastPoll::Never, &[])),
    ];
    snapshot(vec![entry("www.a.com", "jcloud_00", tracks)])
}

#[test]
fn expositions_are_the_golden_files() {
    for (snapshot, text, open) in [
        (
            documented(),
            include_str!("../golden/documented.txt"),
            include_str!("../golden/documented.om"),
        ),
        (
            trouble(),
            include_str!("../golden/trouble.txt"),
            include_str!("../golden/trouble.om"),
        ),
        (
            unpolled(),
            include_str!("../golden/unpolled.txt"),
            include_str!("../golden/unpolled.om"),
        ),
    ] {
        assert_eq!(render(&snapshot, at("09:40:00"), Format::Text), text);
        assert_eq!(render(&snapshot, at("09:40:00"), Format::OpenMetrics), open);
        promtool_is_silent(text);
        reference_parser_accepts(open);
    }
}

#[test]
fn windows_are_the_golden_files() {
    for (format, golden) in [
        (Format::Text, include_str!("../golden/windows.txt")),
        (Format::OpenMetrics, include_str!("../golden/windows.om")),
    ] {
        assert_eq!(windows_text(documented(), at("09:40:00"), format), golden);
    }
    promtool_is_silent(include_str!("../golden/windows.txt"));
    reference_parser_accepts(include_str!("../golden/windows.om"));
    // Nothing is settled, or everything has left the horizon.
    for clock in ["09:24:59", "10:35:00"] {
        assert_eq!(windows_text(documented(), at(clock), Format::Text), "", "{clock}");
        assert_eq!(
            windows_text(documented(), at(clock), Format::OpenMetrics),
            "# EOF\n",
            "{clock}"
        );
    }
}

#[test]
fn without_domains_only_the_endpoints_have_samples() {
    let text = render(&snapshot(Vec::new()), at("09:40:00"), Format::Text);
    let types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(
        types,
        [
            "# TYPE jdcloud_cdn_exporter_windows_missing gauge",
            "# TYPE jdcloud_cdn_exporter_settle_seconds gauge"
        ]
    );
}

#[test]
fn whole_pages_satisfy_both_linters() {
    for metrics in [fresh_self_metrics(), busy_self_metrics()] {
        promtool_is_silent(
            &(render(&documented(), at("09:40:00"), Format::Text) + &own_text(&metrics, Format::Text)),
        );
        let domains = render(&documented(), at("09:40:00"), Format::OpenMetrics);
        let domains = domains.strip_suffix("# EOF\n").unwrap();
        reference_parser_accepts(&format!(
            "{domains}{}# EOF\n",
            own_text(&metrics, Format::OpenMetrics)
        ));
    }
}

#[test]
fn own_metrics_say_what_they_were_told() {
    let text = own_text(&busy_self_metrics(), Format::Text);
    let open = own_text(&busy_self_metrics(), Format::OpenMetrics);
    for line in [
        r#"api_request_duration_seconds_bucket{endpoint="origin_ratio",le="0.1"} 0"#,
        r#"api_request_duration_seconds_bucket{endpoint="origin_ratio",le="0.25"} 1"#,
        r#"api_request_duration_seconds_bucket{endpoint="origin_ratio",le="30.0"} 2"#,
        r#"api_request_duration_seconds_bucket{endpoint="origin_ratio",le="+Inf"} 2"#,
        r#"api_request_duration_seconds_sum{endpoint="origin_ratio"} 10.75"#,
        r#"api_request_duration_seconds_count{endpoint="origin_ratio"} 2"#,
        r#"api_requests_total{endpoint="origin_ratio"} 2"#,
        r#"api_requests_total{endpoint="bandwidth_flow"} 0"#,
        r#"api_request_failures_total{endpoint="origin_ratio",reason="timeout"} 1"#,
        r#"api_request_failures_total{endpoint="bandwidth_flow",reason="unknown_user"} 0"#,
        r#"api_request_rate_limit_per_second{account="a \"b\""} 7.5"#,
        r#"api_retries_total{endpoint="origin_ratio"} 1"#,
        r#"rejects_total{endpoint="origin_ratio",reason="time"} 2"#,
        r#"rejects_total{endpoint="origin_ratio",reason="out_of_range"} 0"#,
        r#"last_success_timestamp_seconds{account="a \"b\"",endpoint="origin_ratio"} 1527932400"#,
        r#"polls_total{endpoint="origin_ratio"} 1"#,
        r#"poll_duration_seconds_sum{endpoint="origin_ratio"} 11"#,
        r#"poll_overruns_total{endpoint="origin_ratio"} 3"#,
        r#"window_delay_seconds_bucket{endpoint="origin_ratio",le="300.0"} 0"#,
        r#"window_delay_seconds_bucket{endpoint="origin_ratio",le="450.0"} 1"#,
        r#"window_revision_age_seconds_sum{endpoint="origin_ratio"} 900"#,
        r#"window_revision_age_seconds_count{endpoint="origin_ratio"} 2"#,
        r#"windows_revised_total{endpoint="origin_ratio"} 1"#,
        r"provider_clock_skew_seconds -1.5",
        r"config_last_reload_successful 1",
        r"config_last_reload_success_timestamp_seconds 1527930000",
        r#"build_info{revision="abc",rustc="1.95.0",version="1.2.3"} 1"#,
    ] {
        let line = format!("\njdcloud_cdn_exporter_{line}\n");
        assert!(text.contains(&line), "{line}{text}");
        assert!(open.contains(&line), "{line}{open}");
    }
    assert!(open.contains("\n# TYPE jdcloud_cdn_exporter_api_requests counter\n"));
    for family in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(&format!("\n{family} ")), "{family}");
    }
}
