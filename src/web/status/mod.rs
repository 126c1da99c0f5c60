//! The page that a person sees first, and the same as JSON: how each account, endpoint and domain
//! fares.
//!
//! PURE: `view` chooses and orders what a `query` asks for out of [`Status`];
//! `html` (with `phrases`, `style`, `text` and `sparkline`) and `json` write it down.

mod html;
mod json;
mod phrases;
mod query;
mod sparkline;
mod style;
mod text;
mod view;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{AccountName, Endpoint, Failure, Reason, SettleReport, Snapshot, VisibilityRule};
use crate::plan::Shard;

pub(super) use phrases::Language;
pub(super) use query::Query;

/// Everything that the status page tells, as of one instant.
#[derive(Clone, Debug)]
pub struct Status {
    /// The instant; ages count from it.
    pub now: DateTime<Utc>,
    /// Since the start of the process.
    pub uptime: Duration,
    /// What is known of the domains.
    pub snapshot: Arc<Snapshot>,
    /// Every poller, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
    /// Every account that discovers, in the order of the configuration.
    pub discoveries: Vec<DiscoveryStatus>,
    /// What the last day taught of how long windows change; `None` while nothing is known.
    pub settle: Option<SettleReport>,
    /// Which of several exporters this is.
    pub shard: Shard,
}

/// How the polls of one account at one endpoint fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The `account` label.
    pub account: AccountName,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Every domain has been asked for once, whatever came of it.
    pub first_round_done: bool,
    /// When a poll last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// When the next poll is due; `None` while all of them are under way.
    pub next_poll: Option<DateTime<Utc>>,
    /// How many batches of domains failed in their last poll.
    pub failing: usize,
    /// How many polls failed since the start, in the order of [`Reason::ALL`].
    pub failures: [u64; Reason::ALL.len()],
    /// The last failure, and when it was, whether or not polls have succeeded since.
    pub last_failure: Option<(DateTime<Utc>, Failure)>,
}

/// How the reading of one account's list of domains fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryStatus {
    /// The `account` label.
    pub account: AccountName,
    /// How many domains of the last good list the account's filter selects; `None` before the first.
    pub domains: Option<usize>,
    /// When a list was last taken over.
    pub last_success: Option<DateTime<Utc>>,
    /// When the next attempt is due; `None` while one is under way.
    pub next_attempt: Option<DateTime<Utc>>,
    /// What was last wrong, and when it was, whether or not attempts have succeeded since.
    pub last_failure: Option<(DateTime<Utc>, String)>,
}

impl EndpointStatus {
    /// The reasons for which polls failed, and how often.
    fn failures(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL
            .into_iter()
            .zip(self.failures)
            .filter(|(_, count)| *count > 0)
    }
}

impl Default for Status {
    /// That of an exporter without any domain, in 1970.
    fn default() -> Self {
        Self {
            now: DateTime::UNIX_EPOCH,
            uptime: Duration::ZERO,
            snapshot: Arc::new(Snapshot::new(
                0,
                VisibilityRule {
                    settle: TimeDelta::zero(),
                    stale_after: TimeDelta::zero(),
                    horizon: TimeDelta::zero(),
                },
                Vec::new(),
            )),
            endpoints: Vec::new(),
            discoveries: Vec::new(),
            settle: None,
            shard: Shard::WHOLE,
        }
    }
}

/// The status as a page; `links` are the exporter's other pages.
pub(super) fn html(status: &Status, query: &Query, language: Language, links: &[&str]) -> String {
    html::page(&view::View::new(status, query), query, language, links)
}

/// The status as JSON, of the shape in `docs/STATUS.md`.
///
/// # Errors
/// Never in practice: it holds nothing that JSON cannot.
pub(super) fn json(status: &Status, query: &Query) -> Result<Vec<u8>, serde_json::Error> {
    json::document(&view::View::new(status, query), query)
}

#[cfg(test)]
mod tests;
