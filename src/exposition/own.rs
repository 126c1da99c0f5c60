//! The exporter's own part of a page: what all scrapes share while nothing has happened in between.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use tokio::time::Instant;

use crate::exposition::gzip::Deflater;
use crate::exposition::{Format, SelfMetrics};

/// How hard it is compressed: some 200 lines.
const LEVEL: Compression = Compression::new(1);

/// For so long the process's own metrics may be told again. They change without an event, and reading
/// them takes a fifth of a scrape of 10,000 domains; nobody scrapes one exporter that often but when
/// several servers happen to do it at once.
const PROCESS_REUSE: Duration = Duration::from_millis(100);

/// The last part of a body: all that is not about domains, and the end of the text.
pub(super) struct OwnPart {
    /// As it is sent; of a compressed one the trailer is missing, which covers the whole body.
    pub(super) bytes: Bytes,
    /// Of the plain text; used for gzip only.
    pub(super) checksum: Hasher,
    /// See [`SelfMetrics::changes`].
    changes: u64,
    made: Instant,
}

impl OwnPart {
    fn make(self_metrics: &SelfMetrics, format: Format, gzip: bool) -> io::Result<Self> {
        // Before the first of them is read, so that what happens meanwhile makes the part outdated.
        let changes = self_metrics.changes();
        let mut text = Vec::new();
        self_metrics.render(format, &mut text)?;
        text.extend_from_slice(format.end().as_bytes());
        let (bytes, checksum) = if gzip {
            let mut deflater = Deflater::tail(LEVEL);
            deflater.write_all(&text)?;
            let part = deflater.finish()?;
            (part.bytes, part.checksum)
        } else {
            (text, Hasher::new())
        };
        Ok(Self {
            bytes: bytes.into(),
            checksum,
            changes,
            made: Instant::now(),
        })
    }

    fn is_good(&self, changes: u64) -> bool {
        self.changes == changes && self.made.elapsed() < PROCESS_REUSE
    }
}

/// Makes and keeps the own part in each of its forms.
pub(super) struct OwnParts {
    self_metrics: Arc<SelfMetrics>,
    kept: Mutex<[Option<Arc<OwnPart>>; Format::ALL.len() * 2]>,
}

impl OwnParts {
    pub(super) fn new(self_metrics: Arc<SelfMetrics>) -> Self {
        Self {
            self_metrics,
            kept: Mutex::default(),
        }
    }

    /// The part as of now: it shows everything that the observer was told before. Made on the spot
    /// where that is needed, in 0.1 ms.
    pub(super) fn get(&self, format: Format, gzip: bool) -> io::Result<Arc<OwnPart>> {
        let place = format.index() * 2 + usize::from(gzip);
        let changes = self.self_metrics.changes();
        let kept = self.lock().get(place).cloned().flatten();
        if let Some(kept) = kept.filter(|part| part.is_good(changes)) {
            return Ok(kept);
        }
        let part = Arc::new(OwnPart::make(&self.self_metrics, format, gzip)?);
        if let Some(kept) = self.lock().get_mut(place) {
            *kept = Some(Arc::clone(&part));
        }
        Ok(part)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Option<Arc<OwnPart>>; Format::ALL.len() * 2]> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::exposition::BuildInfo;
    use crate::model::{AccountName, DiscoveryReason, Endpoint, Reason, Reject, Rejects};
    use crate::observer::Observer;
    use crate::plan::Shard;

    const FLOW: Endpoint = Endpoint::BandwidthFlow;

    fn metrics() -> Arc<SelfMetrics> {
        let build = BuildInfo {
            version: "",
            revision: "",
            rustc: "",
        };
        SelfMetrics::new(build).unwrap()
    }

    /// The page's lines, without those that change without an event.
    fn lines(parts: &OwnParts) -> Vec<String> {
        let part = parts.get(Format::Text, false).unwrap();
        let text = String::from_utf8(part.bytes.to_vec()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("process_"));
        lines.map(str::to_owned).collect()
    }

    /// Time stands still, so that only the event can make the kept part outdated.
    #[tokio::test(start_paused = true)]
    async fn every_event_is_on_the_next_page() {
        type Event = (&'static str, fn(&SelfMetrics, &AccountName));
        let events: [Event; 19] = [
            ("request", |m, _| m.request_finished(FLOW, Duration::ZERO, None)),
            ("failed request", |m, _| {
                m.request_finished(FLOW, Duration::ZERO, Some(Reason::Timeout));
            }),
            ("retry", |m, _| m.request_retried(FLOW)),
            ("reject", |m, _| {
                let mut rejects = Rejects::default();
                rejects.add(Reject::UnknownDomain);
                m.rejected(FLOW, rejects);
            }),
            ("poll", |m, _| m.poll_finished(FLOW, Duration::ZERO)),
            ("overrun", |m, _| m.polls_overrun(FLOW, 1)),
            ("success", |m, a| m.succeeded(a, FLOW, DateTime::UNIX_EPOCH)),
            ("window", |m, _| m.window_appeared(FLOW, TimeDelta::zero())),
            ("revision", |m, _| m.window_revised(FLOW, None, true)),
            ("rate", |m, a| m.request_rate(a, 3.0)),
            ("skew", |m, _| m.clock_skew(TimeDelta::seconds(1))),
            ("discovering", |m, a| m.discovering(&[(a.clone(), Some(3))])),
            ("list", |m, a| m.discovery_ended(a, DateTime::UNIX_EPOCH, None)),
            ("no list", |m, a| {
                m.discovery_ended(a, DateTime::UNIX_EPOCH, Some(DiscoveryReason::Incomplete));
            }),
            ("reload", |m, _| m.reload_succeeded(DateTime::UNIX_EPOCH)),
            ("refused reload", |m, _| m.reload_failed()),
            ("shard", |m, _| m.is_shard(Shard::new(1, 2).unwrap())),
            ("endpoints", |m, a| m.retain(vec![(a.clone(), Vec::new())])),
            ("accounts", |m, _| m.retain(Vec::new())),
        ];
        let metrics = metrics();
        let account = AccountName::new("a");
        let parts = OwnParts::new(Arc::clone(&metrics));
        for (name, event) in events {
            let before = lines(&parts);
            event(&metrics, &account);
            assert_ne!(before, lines(&parts), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_event_a_part_is_shared_for_as_long_as_it_says() {
        let parts = OwnParts::new(metrics());
        let get = || parts.get(Format::Text, true).unwrap();
        let first = get();
        tokio::time::advance(PROCESS_REUSE.saturating_sub(Duration::from_millis(1))).await;
        assert!(Arc::ptr_eq(&first, &get()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!Arc::ptr_eq(&first, &get()));
    }
}
