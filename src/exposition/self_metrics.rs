//! The exporter's own counters, gauges and histograms: the only user of the `prometheus` crate.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::exposition::Format;
use crate::exposition::encode::{Kind, Number, header, sample};
use crate::model::{AccountName, DiscoveryReason, Endpoint, Reason, Reject, Rejects};
use crate::observer::Observer;
use crate::plan::Shard;

const PREFIX: &str = "jdcloud_cdn_exporter_";

/// Seconds that one request may take; `api.timeout` is 10 s by default.
const REQUEST_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds that one poll with its retries may take; `poll.interval` is 60 s by default.
const POLL_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds from the end of a window to its first sight; comparable CDNs need 5 to 15 minutes.
const DELAY_BUCKETS: [f64; 10] = [
    60.0, 120.0, 300.0, 450.0, 600.0, 900.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0,
];
/// Seconds from the end of a window to a change; comparable CDNs settle within 12 hours.
const REVISION_BUCKETS: [f64; 9] = [
    300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, 86_400.0,
];

/// What the binary was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The crate's version.
    pub version: &'static str,
    /// The commit, or `unknown`.
    pub revision: &'static str,
    /// The compiler's version.
    pub rustc: &'static str,
}

/// An account, and the endpoints at which it is read.
type AccountEndpoints = (AccountName, Vec<Endpoint>);

/// The metrics that could not be set up: a defect of the exporter.
#[derive(Debug, thiserror::Error)]
#[error("the exporter's own metrics could not be set up: please report this")]
pub struct SelfMetricsError(#[from] prometheus::Error);

/// Counts what [`Observer`] is told. Gauges that no event has set yet are absent.
pub struct SelfMetrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    request_failures: IntCounterVec,
    retries: IntCounterVec,
    rejects: IntCounterVec,
    request_rate: GaugeVec,
    last_success: GaugeVec,
    polls: IntCounterVec,
    poll_duration: HistogramVec,
    poll_overruns: IntCounterVec,
    windows_revised: IntCounterVec,
    revision_age: HistogramVec,
    window_delay: HistogramVec,
    clock_skew: GaugeVec,
    discovered_domains: GaugeVec,
    discovery_last_success: GaugeVec,
    discovery_successful: GaugeVec,
    discovery_failures: IntCounterVec,
    reload_successful: GaugeVec,
    reload_success: GaugeVec,
    shard_ordinal: GaugeVec,
    shards: GaugeVec,
    /// The configured accounts and where they are read, once known: a poll of another that ends late leaves no series.
    accounts: Mutex<Option<Vec<AccountEndpoints>>>,
    /// Those of them that discover: an attempt of another that ends late leaves no series.
    discovering: Mutex<Vec<AccountName>>,
    changes: AtomicU64,
}

impl SelfMetrics {
    /// A registry of its own, with every closed label value at 0.
    ///
    /// # Errors
    /// Two metrics have one name: a defect of the exporter.
    pub fn new(build: BuildInfo) -> Result<Arc<Self>, SelfMetricsError> {
        let registry = Registry::new();
        let new = Families(&registry);
        let metrics = Self {
            requests: new.counter("api_requests_total", "HTTP requests to the provider that ended, retries included.", &["endpoint"])?,
            request_duration: new.histogram("api_request_duration_seconds", "Time from sending a request to its last byte or failure.", &REQUEST_BUCKETS)?,
            request_failures: new.counter("api_request_failures_total", "Requests that gave no usable reply, by the closed set of reasons.", &["endpoint", "reason"])?,
            retries: new.counter("api_retries_total", "Requests that were made again within the same poll.", &["endpoint"])?,
            rejects: new.counter("rejects_total", "Parts of otherwise good replies that were refused, by the closed set of reasons.", &["endpoint", "reason"])?,
            request_rate: new.gauge("api_request_rate_limit_per_second", "Requests per second that the exporter allows itself at present; halved when the provider throttles.", &["account"])?,
            last_success: new.gauge("last_success_timestamp_seconds", "Unix time of the last successful request; absent before the first, and once the endpoint is not read any more.", &["account", "endpoint"])?,
            polls: new.counter("polls_total", "Polls (the reading of one batch of domains, retries included) that ended, whatever their outcome.", &["endpoint"])?,
            poll_duration: new.histogram("poll_duration_seconds", "Time that one poll took, retries and pauses included.", &POLL_BUCKETS)?,
            poll_overruns: new.counter("poll_overruns_total", "Polls that were due while the previous one of the same batch was still under way.", &["endpoint"])?,
            windows_revised: new.counter("windows_revised_total", "Settled windows of which the provider changed a value afterwards.", &["endpoint"])?,
            revision_age: new.histogram("window_revision_age_seconds", "How long after its end a window changed, settled or not.", &REVISION_BUCKETS)?,
            window_delay: new.histogram("window_delay_seconds", "How long after its end a window was first seen.", &DELAY_BUCKETS)?,
            clock_skew: new.gauge("provider_clock_skew_seconds", "The provider's clock minus this machine's, from the Date header of the last reply that was compared; absent before.", &[])?,
            discovered_domains: new.gauge("discovered_domains", "Domains of the account's list at the provider that its filter selects, listed ones among them; absent before the first list.", &["account"])?,
            discovery_last_success: new.gauge("discovery_last_success_timestamp_seconds", "Unix time at which the account's list was last read and taken over; absent before the first time.", &["account"])?,
            discovery_successful: new.gauge("discovery_last_attempt_successful", "Whether the last attempt to read the account's list succeeded (1) or the last good list stays in use (0).", &["account"])?,
            discovery_failures: new.counter("discovery_failures_total", "Attempts to read a list that gave none, by the closed set of reasons; absent where no account discovers.", &["reason"])?,
            reload_successful: new.gauge("config_last_reload_successful", "Whether the last attempt to load the configuration succeeded (1) or not (0).", &[])?,
            reload_success: new.gauge("config_last_reload_success_timestamp_seconds", "Unix time of the last successful load of the configuration.", &[])?,
            shard_ordinal: new.gauge("shard_ordinal", "Which of the shards this exporter is, counted from 0.", &[])?,
            shards: new.gauge("shards", "How many exporters share the domains, 1 when it is the only one.", &[])?,
            accounts: Mutex::new(None),
            discovering: Mutex::default(),
            changes: AtomicU64::new(0),
            registry: registry.clone(),
        };
        new.gauge(
            "build_info",
            "What this binary was built from, always 1.",
            &["version", "revision", "rustc"],
        )?
        .with_label_values(&[build.version, build.revision, build.rustc])
        .set(1.0);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        metrics.initialise();
        Ok(Arc::new(metrics))
    }

    /// How many samples there are at most for accounts that have been polled at their endpoints, and for
    /// those that discover.
    ///
    /// # Errors
    /// As [`SelfMetrics::new`].
    pub fn samples(
        accounts: &[AccountEndpoints],
        discovering: &[AccountName],
    ) -> Result<usize, SelfMetricsError> {
        let metrics = Self::new(BuildInfo {
            version: "",
            revision: "",
            rustc: "",
        })?;
        metrics.reload_succeeded(DateTime::UNIX_EPOCH);
        metrics.clock_skew(TimeDelta::zero());
        for (account, endpoints) in accounts {
            metrics.request_rate(account, 0.0);
            for endpoint in endpoints {
                metrics.succeeded(account, *endpoint, DateTime::UNIX_EPOCH);
            }
        }
        let with_list: Vec<_> = discovering
            .iter()
            .map(|account| (account.clone(), Some(0)))
            .collect();
        metrics.discovering(&with_list);
        for account in discovering {
            metrics.discovery_ended(account, DateTime::UNIX_EPOCH, None);
        }
        let mut page = Vec::new();
        // Writing to memory cannot fail.
        let _ = metrics.render(Format::Text, &mut page);
        let lines = page.split(|byte| *byte == b'\n');
        Ok(lines
            .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
            .count())
    }

    /// Makes every series whose labels are known beforehand, at 0.
    fn initialise(&self) {
        self.is_shard(Shard::WHOLE);
        for endpoint in Endpoint::ALL.map(Endpoint::name) {
            for counter in [
                &self.requests,
                &self.retries,
                &self.polls,
                &self.poll_overruns,
                &self.windows_revised,
            ] {
                counter.with_label_values(&[endpoint]);
            }
            for histogram in [
                &self.request_duration,
                &self.poll_duration,
                &self.revision_age,
                &self.window_delay,
            ] {
                histogram.with_label_values(&[endpoint]);
            }
            for reason in Reason::ALL {
                self.request_failures
                    .with_label_values(&[endpoint, reason.name()]);
            }
            for reason in Reject::ALL {
                self.rejects.with_label_values(&[endpoint, reason.name()]);
            }
        }
    }

    /// Which of several exporters this is.
    pub fn is_shard(&self, shard: Shard) {
        let ordinal = f64::from(shard.ordinal());
        self.shard_ordinal.with_label_values::<&str>(&[]).set(ordinal);
        let count = f64::from(shard.count());
        self.shards.with_label_values::<&str>(&[]).set(count);
        self.changed();
    }

    /// Grows after every change of a metric: what was rendered since it had its present value shows
    /// all that has happened. The process's own metrics change without it.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// To be called after a change.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// A configuration was loaded, at start or on reload.
    pub fn reload_succeeded(&self, at: DateTime<Utc>) {
        self.reload_successful.with_label_values::<&str>(&[]).set(1.0);
        self.reload_success
            .with_label_values::<&str>(&[])
            .set(unix_seconds(at));
        self.changed();
    }

    /// A configuration was refused.
    pub fn reload_failed(&self) {
        self.reload_successful.with_label_values::<&str>(&[]).set(0.0);
        self.changed();
    }

    /// These accounts discover from now on, each with how many domains its filter selects of its list, if
    /// it has one: what was told of the discovery of others is removed.
    pub fn discovering(&self, discovering: &[(AccountName, Option<usize>)]) {
        let known: Vec<AccountName> = discovering.iter().map(|(name, _)| name.clone()).collect();
        let with_list: Vec<AccountName> = discovering
            .iter()
            .filter(|(_, domains)| domains.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        retain(&self.discovered_domains, |labels| of_account(labels, &with_list));
        for (account, domains) in discovering {
            let Some(domains) = domains else { continue };
            // No list is long enough to lose digits here.
            let domains = f64::from(u32::try_from(*domains).unwrap_or(u32::MAX));
            let gauge = self.discovered_domains.with_label_values(&[account.as_str()]);
            gauge.set(domains);
        }
        let mut accounts = self.discovering.lock().unwrap_or_else(PoisonError::into_inner);
        retain(&self.discovery_last_success, |labels| of_account(labels, &known));
        retain(&self.discovery_successful, |labels| of_account(labels, &known));
        *accounts = known;
        drop(accounts);
        if !discovering.is_empty() {
            for reason in DiscoveryReason::all() {
                self.discovery_failures.with_label_values(&[reason.name()]);
            }
        }
        self.changed();
    }

    /// These accounts are configured from now on, and read at these endpoints: the series of others are removed and
    /// do not come back. When an endpoint last answered that is read no more would grow old and look like a failure.
    pub fn retain(&self, configured: Vec<AccountEndpoints>) {
        let mut known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts: Vec<AccountName> = configured.iter().map(|(name, _)| name.clone()).collect();
        for gauge in [
            &self.request_rate,
            &self.discovered_domains,
            &self.discovery_last_success,
            &self.discovery_successful,
        ] {
            retain(gauge, |labels| of_account(labels, &accounts));
        }
        retain(&self.last_success, |labels| {
            configured.iter().any(|(account, endpoints)| {
                let is_its = |endpoint: &Endpoint| labels.get("endpoint") == Some(&endpoint.name());
                labels.get("account") == Some(&account.as_str()) && endpoints.iter().any(is_its)
            })
        });
        *known = Some(configured);
        self.changed();
    }

    /// Sets a gauge of an account unless none that is configured is `meant`.
    fn set_for(
        &self,
        meant: impl Fn(&AccountName, &[Endpoint]) -> bool,
        gauge: &GaugeVec,
        labels: &[&str],
        value: f64,
    ) {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |known: &Vec<AccountEndpoints>| {
            known.iter().any(|(account, endpoints)| meant(account, endpoints))
        };
        if accounts.as_ref().is_none_or(is_meant) {
            gauge.with_label_values(labels).set(value);
            self.changed();
        }
    }

    /// Writes all of them, and the process's, by name.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn render(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        let mut number = Number::new();
        for family in self.registry.gather() {
            let kind = match family.get_field_type() {
                MetricType::COUNTER => Kind::Counter,
                MetricType::HISTOGRAM => Kind::Histogram,
                _ => Kind::Gauge,
            };
            header(out, format, family.name(), kind, family.help())?;
            for metric in family.get_metric() {
                let value = match kind {
                    Kind::Counter => metric.get_counter().get_value(),
                    Kind::Gauge => metric.get_gauge().get_value(),
                    Kind::Histogram => {
                        write_histogram(out, family.name(), metric, &mut number)?;
                        continue;
                    }
                };
                sample(out, family.name(), "", labels(metric), number.value(value))?;
            }
        }
        Ok(())
    }
}

/// Removes the series that do not stay.
fn retain(gauge: &GaugeVec, stays: impl Fn(&Labels<'_>) -> bool) {
    for metric in gauge.collect().iter().flat_map(MetricFamily::get_metric) {
        let labels: Labels<'_> = metric.get_label().iter().map(|l| (l.name(), l.value())).collect();
        if !stays(&labels) {
            // It was there a moment ago, and only this function removes.
            let _ = gauge.remove(&labels);
        }
    }
}

/// The labels of one series.
type Labels<'a> = HashMap<&'a str, &'a str>;

fn of_account(labels: &Labels<'_>, accounts: &[AccountName]) -> bool {
    let account = labels.get("account");
    accounts.iter().any(|known| account == Some(&known.as_str()))
}

fn labels(metric: &Metric) -> impl Iterator<Item = (&str, &str)> {
    metric
        .get_label()
        .iter()
        .map(|label| (label.name(), label.value()))
}

fn write_histogram(out: &mut impl Write, name: &str, metric: &Metric, number: &mut Number) -> io::Result<()> {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let mut bound_text = Number::new();
    for (bound, count) in buckets
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .chain([(f64::INFINITY, count)])
    {
        let labels = labels(metric).chain([("le", bound_text.bound(bound))]);
        sample(out, name, "_bucket", labels, number.integer(count))?;
    }
    sample(
        out,
        name,
        "_sum",
        labels(metric),
        number.value(histogram.get_sample_sum()),
    )?;
    sample(out, name, "_count", labels(metric), number.integer(count))
}

/// Makes families and registers them.
struct Families<'a>(&'a Registry);

impl Families<'_> {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.registered(IntCounterVec::new(Opts::new(full(name), help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.registered(GaugeVec::new(Opts::new(full(name), help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(full(name), help).buckets(buckets.to_vec());
        self.registered(HistogramVec::new(opts, &["endpoint"])?)
    }

    fn registered<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn full(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn unix_seconds(at: DateTime<Utc>) -> f64 {
    at.signed_duration_since(DateTime::UNIX_EPOCH).as_seconds_f64()
}

/// An age by two clocks that disagree may be negative; in a histogram it counts as none, since its
/// sum must not fall.
fn age_seconds(age: TimeDelta) -> f64 {
    age.as_seconds_f64().max(0.0)
}

impl Observer for SelfMetrics {
    fn request_finished(&self, endpoint: Endpoint, took: Duration, failure: Option<Reason>) {
        self.requests.with_label_values(&[endpoint.name()]).inc();
        self.request_duration
            .with_label_values(&[endpoint.name()])
            .observe(took.as_secs_f64());
        if let Some(reason) = failure {
            self.request_failures
                .with_label_values(&[endpoint.name(), reason.name()])
                .inc();
        }
        self.changed();
    }

    fn request_retried(&self, endpoint: Endpoint) {
        self.retries.with_label_values(&[endpoint.name()]).inc();
        self.changed();
    }

    fn rejected(&self, endpoint: Endpoint, rejects: Rejects) {
        for (reason, count) in rejects.iter().filter(|(_, count)| *count > 0) {
            self.rejects
                .with_label_values(&[endpoint.name(), reason.name()])
                .inc_by(count);
        }
        self.changed();
    }

    fn poll_finished(&self, endpoint: Endpoint, took: Duration) {
        self.polls.with_label_values(&[endpoint.name()]).inc();
        self.poll_duration
            .with_label_values(&[endpoint.name()])
            .observe(took.as_secs_f64());
        self.changed();
    }

    fn polls_overrun(&self, endpoint: Endpoint, missed: u64) {
        self.poll_overruns
            .with_label_values(&[endpoint.name()])
            .inc_by(missed);
        self.changed();
    }

    fn succeeded(&self, account: &AccountName, endpoint: Endpoint, at: DateTime<Utc>) {
        let labels = [account.as_str(), endpoint.name()];
        let is_read =
            |known: &AccountName, endpoints: &[Endpoint]| known == account && endpoints.contains(&endpoint);
        self.set_for(is_read, &self.last_success, &labels, unix_seconds(at));
    }

    fn window_appeared(&self, endpoint: Endpoint, delay: TimeDelta) {
        self.window_delay
            .with_label_values(&[endpoint.name()])
            .observe(age_seconds(delay));
        self.changed();
    }

    fn window_revised(&self, endpoint: Endpoint, age: Option<TimeDelta>, settled: bool) {
        if let Some(age) = age {
            self.revision_age
                .with_label_values(&[endpoint.name()])
                .observe(age_seconds(age));
        }
        if settled {
            self.windows_revised.with_label_values(&[endpoint.name()]).inc();
        }
        self.changed();
    }

    fn request_rate(&self, account: &AccountName, per_second: f64) {
        self.set_for(
            |known, _| known == account,
            &self.request_rate,
            &[account.as_str()],
            per_second,
        );
    }

    fn discovery_ended(&self, account: &AccountName, at: DateTime<Utc>, failure: Option<DiscoveryReason>) {
        let accounts = self.discovering.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.contains(account) {
            return;
        }
        let labels = [account.as_str()];
        let successful = if failure.is_none() { 1.0 } else { 0.0 };
        self.discovery_successful
            .with_label_values(&labels)
            .set(successful);
        match failure {
            None => self
                .discovery_last_success
                .with_label_values(&labels)
                .set(unix_seconds(at)),
            Some(reason) => self.discovery_failures.with_label_values(&[reason.name()]).inc(),
        }
        self.changed();
    }

    fn clock_skew(&self, skew: TimeDelta) {
        self.clock_skew
            .with_label_values::<&str>(&[])
            .set(skew.as_seconds_f64());
        self.changed();
    }
}
