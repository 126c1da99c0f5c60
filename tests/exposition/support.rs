//! Snapshots written by hand, and the real programs that read what we write.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::exposition::{BuildInfo, Format, SelfMetrics, WindowsText, render_domains};
use jdcloud_cdn_exporter::model::{
    AccountName, Domain, Endpoint, Entry, Field, LastPoll, Reading, Reason, Reject, Rejects, Snapshot, Track,
    Values, VisibilityRule, Window, WindowRange,
};
use jdcloud_cdn_exporter::observer::Observer;

pub(super) const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::hours(1),
};

/// An instant of the day of the documents' `bandwidth_flow` example, in UTC.
pub(super) fn at(clock: &str) -> DateTime<Utc> {
    format!("2018-06-02T{clock}Z").parse().unwrap()
}

pub(super) fn reading(end: &str, values: &[(Field, f64)]) -> Reading {
    Reading {
        window: Window::ending_at(at(end).timestamp()).unwrap(),
        values: values
            .iter()
            .fold(Values::NONE, |values, (field, value)| values.with(*field, *value)),
    }
}

pub(super) fn track(endpoint: Endpoint, last_poll: LastPoll, readings: &[Reading]) -> Track {
    let mut track = Track::new(endpoint);
    let keep = WindowRange {
        first: Window::newest_ended(DateTime::UNIX_EPOCH),
        last: Window::newest_ended(DateTime::<Utc>::MAX_UTC),
    };
    track.series.merge(readings, keep);
    track.last_poll = last_poll;
    track
}

pub(super) fn entry(domain: &str, account: &str, tracks: [Option<Track>; 2]) -> Arc<Entry> {
    Arc::new(Entry {
        domain: Domain::parse(domain).unwrap(),
        account: AccountName::new(account),
        source: 0,
        tracks,
    })
}

pub(super) fn snapshot(entries: Vec<Arc<Entry>>) -> Snapshot {
    Snapshot::new(1, RULE, entries)
}

pub(super) fn render(snapshot: &Snapshot, now: DateTime<Utc>, format: Format) -> String {
    let mut out = Vec::new();
    render_domains(snapshot, now, format, &mut out).unwrap();
    out.extend_from_slice(format.end().as_bytes());
    String::from_utf8(out).unwrap()
}

pub(super) fn windows_text(snapshot: Snapshot, now: DateTime<Utc>, format: Format) -> String {
    let pieces: Vec<_> = WindowsText::new(Arc::new(snapshot), now, format).collect();
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    String::from_utf8(pieces.concat()).unwrap()
}

pub(super) fn own_text(metrics: &SelfMetrics, format: Format) -> String {
    let mut out = Vec::new();
    metrics.render(format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The exporter's own metrics, with nothing told to them yet.
pub(super) fn fresh_self_metrics() -> Arc<SelfMetrics> {
    SelfMetrics::new(BuildInfo {
        version: "1.2.3",
        revision: "abc",
        rustc: "1.95.0",
    })
    .unwrap()
}

/// The same after one event of every kind, so that every family has a sample.
pub(super) fn busy_self_metrics() -> Arc<SelfMetrics> {
    let metrics = fresh_self_metrics();
    let account = AccountName::new("a \"b\"");
    let endpoint = Endpoint::OriginRatio;
    let mut rejects = Rejects::default();
    rejects.add(Reject::Time);
    rejects.add(Reject::Time);
    let millis = std::time::Duration::from_millis;
    metrics.request_finished(endpoint, millis(250), None);
    metrics.request_finished(endpoint, millis(10_500), Some(Reason::Timeout));
    metrics.request_retried(endpoint);
    metrics.rejected(endpoint, rejects);
    metrics.poll_finished(endpoint, millis(11_000));
    metrics.polls_overrun(endpoint, 3);
    metrics.succeeded(&account, endpoint, at("09:40:00"));
    metrics.window_appeared(endpoint, TimeDelta::seconds(420));
    metrics.window_revised(endpoint, Some(TimeDelta::seconds(900)), true);
    metrics.window_revised(endpoint, Some(TimeDelta::seconds(-5)), false);
    metrics.request_rate(&account, 7.5);
    metrics.clock_skew(TimeDelta::milliseconds(-1_500));
    metrics.reload_succeeded(at("09:00:00"));
    metrics
}

/// Feeds text to a program. `None` if it is not installed, which is a failure where the
/// environment asks for the real parts.
pub(super) fn feed(program: &str, arguments: &[&str], input: &[u8]) -> Option<std::process::Output> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        left_out(program);
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that refuses the input early says so by its exit code.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a switch of the test suite, not of the exporter"
)]
fn left_out(what: &str) {
    let required = std::env::var("JDCLOUD_REQUIRE_REAL_PARTS").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "{what} is not installed, and JDCLOUD_REQUIRE_REAL_PARTS=1 asks for it"
    );
    println!("left out: {what} is not installed");
}

/// The linter that Prometheus ships has nothing to say about a text exposition.
pub(super) fn promtool_is_silent(text: &str) {
    if let Some(output) = feed("promtool", &["check", "metrics"], text.as_bytes()) {
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success() && said.is_empty(),
            "{}\n{text}",
            String::from_utf8_lossy(&said)
        );
    }
}

/// The OpenMetrics reference parser takes an exposition.
pub(super) fn reference_parser_accepts(text: &str) {
    const IMPORT: &str =
        "from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse";
    match feed("python3", &["-c", IMPORT], b"") {
        Some(output) if output.status.success() => {}
        Some(_) => return left_out("prometheus_client for python3"),
        None => return,
    }
    let script = format!("import sys\n{IMPORT}\nfor family in parse(sys.stdin.read()): print(family.name)");
    let output = feed("python3", &["-X", "utf8", "-c", &script], text.as_bytes()).unwrap();
    let families = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(
        output.status.success() && families == text.matches("# TYPE ").count(),
        "{families} families: {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
}
