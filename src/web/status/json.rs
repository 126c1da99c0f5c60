//! PURE: the status as JSON: times as RFC 3339, bytes and seconds, ratios from 0 to 1, `null` where
//! something is not known. `docs/STATUS.md` describes the shape.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::html::JSON_PATH;
use super::query::{Query, StateKind};
use super::text::rfc3339;
use super::view::{Row, State, TrackRow, View};
use super::{DiscoveryStatus, EndpointStatus};
use crate::build_info;
use crate::model::{Field, Reason};

/// The document as bytes of UTF-8.
pub(super) fn document(view: &View<'_>, query: &Query) -> Result<Vec<u8>, serde_json::Error> {
    let status = view.status;
    let [up, no_data, stale, failing] = view.summary.states;
    let mut bytes = serde_json::to_vec(&Document {
        time: rfc3339(status.now),
        version: build_info::VERSION,
        revision: build_info::REVISION,
        uptime_seconds: status.uptime.as_secs(),
        shard: ShardOf {
            ordinal: status.shard.ordinal(),
            count: status.shard.count(),
        },
        pollers: status.endpoints.iter().map(Poller::new).collect(),
        discoveries: status.discoveries.iter().map(Discovery::new).collect(),
        summary: Summary {
            domains: status.snapshot.entries.len(),
            up,
            no_data,
            stale,
            failing,
            bandwidth_bytes_per_second: view.summary.bandwidth,
            origin_ratio: view.summary.origin_ratio,
        },
        query: Asked {
            q: &query.part,
            state: query.state.map(StateKind::name),
            sort: query.sort.name(),
            order: query.order(),
            limit: query.limit,
            offset: query.offset,
        },
        matched: view.matched,
        next: view.next(query).map(|next| next.link(JSON_PATH)),
        domains: view.rows.iter().map(|row| DomainRow::new(view, row)).collect(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Serialize)]
struct Document<'a> {
    time: String,
    version: &'static str,
    revision: &'static str,
    uptime_seconds: u64,
    shard: ShardOf,
    pollers: Vec<Poller<'a>>,
    discoveries: Vec<Discovery<'a>>,
    summary: Summary,
    query: Asked<'a>,
    matched: usize,
    next: Option<String>,
    domains: Vec<DomainRow<'a>>,
}

#[derive(Serialize)]
struct ShardOf {
    ordinal: u32,
    count: u32,
}

#[derive(Serialize)]
struct Poller<'a> {
    account: &'a str,
    endpoint: &'static str,
    first_round_done: bool,
    last_success: Option<String>,
    next_poll: Option<String>,
    failing_batches: usize,
    failed_polls: Failures<'a>,
    last_failure: Option<LastFailure<'a>>,
}

impl<'a> Poller<'a> {
    fn new(status: &'a EndpointStatus) -> Self {
        Self {
            account: status.account.as_str(),
            endpoint: status.endpoint.name(),
            first_round_done: status.first_round_done,
            last_success: status.last_success.map(rfc3339),
            next_poll: status.next_poll.map(rfc3339),
            failing_batches: status.failing,
            failed_polls: Failures(status),
            last_failure: status.last_failure.as_ref().map(|(at, failure)| LastFailure {
                time: rfc3339(*at),
                reason: failure.reason.name(),
                message: &failure.message,
            }),
        }
    }
}

#[derive(Serialize)]
struct Discovery<'a> {
    account: &'a str,
    domains: Option<usize>,
    last_success: Option<String>,
    next_attempt: Option<String>,
    last_failure: Option<DiscoveryFailure<'a>>,
}

#[derive(Serialize)]
struct DiscoveryFailure<'a> {
    time: String,
    message: &'a str,
}

impl<'a> Discovery<'a> {
    fn new(status: &'a DiscoveryStatus) -> Self {
        Self {
            account: status.account.as_str(),
            domains: status.domains,
            last_success: status.last_success.map(rfc3339),
            next_attempt: status.next_attempt.map(rfc3339),
            last_failure: status
                .last_failure
                .as_ref()
                .map(|(at, message)| DiscoveryFailure {
                    time: rfc3339(*at),
                    message,
                }),
        }
    }
}

/// Counts by reason, those of 0 left out.
struct Failures<'a>(&'a EndpointStatus);

impl Serialize for Failures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (reason, count) in self.0.failures() {
            map.serialize_entry(reason.name(), &count)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct LastFailure<'a> {
    time: String,
    reason: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Summary {
    domains: usize,
    up: usize,
    no_data: usize,
    stale: usize,
    failing: usize,
    bandwidth_bytes_per_second: Option<f64>,
    origin_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Asked<'a> {
    q: &'a str,
    state: Option<&'static str>,
    sort: &'static str,
    order: &'static str,
    limit: usize,
    offset: usize,
}

#[derive(Serialize)]
struct DomainRow<'a> {
    domain: &'a str,
    account: &'a str,
    state: &'static str,
    bandwidth_bytes_per_second: Option<f64>,
    flow_bytes: Option<f64>,
    edge_bandwidth_bytes_per_second: Option<f64>,
    origin_bandwidth_bytes_per_second: Option<f64>,
    origin_ratio: Option<f64>,
    window_age_seconds: Option<i64>,
    endpoints: Vec<Track>,
    recent: Recent,
}

impl<'a> DomainRow<'a> {
    fn new(view: &View<'_>, row: &Row<'a>) -> Self {
        let newest = view.status.snapshot.rule.newest_settled(view.status.now);
        Self {
            domain: row.entry.domain.as_str(),
            account: row.entry.account.as_str(),
            state: row.state.kind().name(),
            bandwidth_bytes_per_second: row.bandwidth,
            flow_bytes: row.flow,
            edge_bandwidth_bytes_per_second: row.edge,
            origin_bandwidth_bytes_per_second: row.origin,
            origin_ratio: row.origin_ratio,
            window_age_seconds: row.age.map(|age| age.num_seconds()),
            endpoints: row.tracks.iter().flatten().map(Track::from).collect(),
            recent: Recent {
                newest_window_end: rfc3339(newest.end()),
                bandwidth_bytes_per_second: view.recent(row, Field::Bandwidth),
                origin_ratio: view.recent(row, Field::OriginRatio),
            },
        }
    }
}

#[derive(Serialize)]
struct Track {
    endpoint: &'static str,
    state: &'static str,
    reason: Option<&'static str>,
    window_end: Option<String>,
}

impl From<&TrackRow> for Track {
    fn from(track: &TrackRow) -> Self {
        let reason: Option<Reason> = match track.state {
            State::Failing(reason) => Some(reason),
            _ => None,
        };
        let window_end: Option<DateTime<Utc>> = track.window_end;
        Self {
            endpoint: track.endpoint.name(),
            state: track.state.kind().name(),
            reason: reason.map(Reason::name),
            window_end: window_end.map(rfc3339),
        }
    }
}

#[derive(Serialize)]
struct Recent {
    newest_window_end: String,
    bandwidth_bytes_per_second: Vec<Option<f64>>,
    origin_ratio: Vec<Option<f64>>,
}
