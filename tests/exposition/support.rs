//! Snapshots written by hand, and the real programs that read what we write.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::exposition::{BuildInfo, Format, SelfMetrics, WindowsText, render_domains};
use jdcloud_cdn_exporter::model::{
    AccountName, DiscoveryReason, Domain, Endpoint, Entry, Field, LastPoll, Reading, Reason, Reject, Rejects,
    Snapshot, Track, Values, VisibilityRule, Window, WindowRange,
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
    metrics.discovering(&[(account.clone(), Some(1_234))]);
    metrics.discovery_ended(&account, at("09:41:00"), None);
    metrics.discovery_ended(&account, at("09:51:00"), Some(DiscoveryReason::TooManyDomains));
    metrics.reload_succeeded(at("09:00:00"));
    metrics
}
