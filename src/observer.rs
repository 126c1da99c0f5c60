//! What the parts that do I/O tell of themselves; `exposition::SelfMetrics` turns it into metrics.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{AccountName, DiscoveryReason, Endpoint, Reason, Rejects};

/// Receives events; every method returns at once and cannot fail, and does nothing unless the
/// observer cares for the event.
pub trait Observer: Send + Sync + 'static {
    /// One HTTP call ended: `jdcloud_cdn_exporter_api_requests_total`,
    /// `api_request_duration_seconds`, and `api_request_failures_total` on failure.
    fn request_finished(&self, _endpoint: Endpoint, _took: Duration, _failure: Option<Reason>) {}
    /// A call is made again: `api_retries_total`.
    fn request_retried(&self, _endpoint: Endpoint) {}
    /// A reply's refused parts: `rejects_total{endpoint,reason}`.
    fn rejected(&self, _endpoint: Endpoint, _rejects: Rejects) {}
    /// A poll (the reading of one batch, retries included) ended: `polls_total`,
    /// `poll_duration_seconds`.
    fn poll_finished(&self, _endpoint: Endpoint, _took: Duration) {}
    /// Polls were due while the previous one was still under way: `poll_overruns_total`.
    fn polls_overrun(&self, _endpoint: Endpoint, _missed: u64) {}
    /// A call of the account succeeded: `last_success_timestamp_seconds{account,endpoint}`.
    fn succeeded(&self, _account: &AccountName, _endpoint: Endpoint, _at: DateTime<Utc>) {}
    /// A window that earlier answers did not have was seen this long after its end:
    /// `window_delay_seconds`.
    fn window_appeared(&self, _endpoint: Endpoint, _delay: TimeDelta) {}
    /// A window changed this long after its end, if that is known; counted in
    /// `windows_revised_total` if it was settled.
    fn window_revised(&self, _endpoint: Endpoint, _age: Option<TimeDelta>, _settled: bool) {}
    /// An attempt to read the account's list of domains ended:
    /// `discovery_last_success_timestamp_seconds{account}`,
    /// `discovery_last_attempt_successful{account}`, and `discovery_failures_total{reason}` on failure.
    fn discovery_ended(&self, _account: &AccountName, _at: DateTime<Utc>, _failure: Option<DiscoveryReason>) {
    }
    /// The account's present request rate: `api_request_rate_limit_per_second{account}`.
    fn request_rate(&self, _account: &AccountName, _per_second: f64) {}
    /// The provider's clock minus ours: `provider_clock_skew_seconds`.
    fn clock_skew(&self, _skew: TimeDelta) {}
}
