//! What the routes show: the metrics, readiness and the state of each poller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::discoveries::DiscoveryViews;
use super::pollers::PollerViews;
use super::reload::Reloader;
use crate::clock::Clock;
use crate::config::counted;
use crate::discovery;
use crate::exposition::{Exposition, Format, Page, PageError, WindowsPage};
use crate::model::{AccountName, Endpoint, LastPoll, Snapshot, Track};
use crate::poller::Progress;
use crate::store::Store;
use crate::web::{DiscoveryStatus, EndpointStatus, Site, Status};

/// What is known of everything that runs.
pub(super) struct Views {
    pub(super) polled: PollerViews,
    pub(super) discovered: DiscoveryViews,
}

pub(super) struct LiveSite {
    exposition: Exposition,
    store: Arc<Store>,
    clock: Clock,
    started: Instant,
    views: Views,
    reloader: Arc<Reloader>,
    was_ready: AtomicBool,
}

impl LiveSite {
    pub(super) fn new(
        exposition: Exposition,
        store: Arc<Store>,
        clock: Clock,
        views: Views,
        reloader: Arc<Reloader>,
    ) -> Self {
        Self {
            exposition,
            store,
            clock,
            started: Instant::now(),
            views,
            reloader,
            was_ready: AtomicBool::new(false),
        }
    }
}

/// Due times are kept on the clock that cannot be set, and told on the wall's, which shows `now`.
fn on_the_wall(due: Instant, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wait = TimeDelta::from_std(due.saturating_duration_since(Instant::now())).ok()?;
    now.checked_add_signed(wait)
}

/// The first account and endpoint of which domains have never been asked for, how many of them, and of
/// how many. The pollers do not tell: a list that is discovered brings domains after their first rounds.
fn not_asked(snapshot: &Snapshot) -> Option<(&AccountName, Endpoint, usize, usize)> {
    let tracks = || {
        snapshot.entries.iter().flat_map(|entry| {
            let of_endpoint = |endpoint| Some((&entry.account, endpoint, entry.track(endpoint)?));
            Endpoint::ALL.into_iter().filter_map(of_endpoint)
        })
    };
    let never = |track: &Track| track.last_poll == LastPoll::Never;
    let (account, endpoint, _) = tracks().find(|(_, _, track)| never(track))?;
    let of_both = tracks().filter(|(whose, at, _)| *whose == account && *at == endpoint);
    let (left, all) = of_both.fold((0, 0), |(left, all), (_, _, track)| {
        (left + usize::from(never(track)), all + 1)
    });
    Some((account, endpoint, left, all))
}

/// How one discovery fares at `now`.
fn discovery_status(progress: &discovery::Progress, now: DateTime<Utc>) -> DiscoveryStatus {
    let view = progress.view();
    DiscoveryStatus {
        account: progress.account().clone(),
        domains: view.domains,
        last_success: view.last_success,
        next_attempt: view.next_attempt.and_then(|due| on_the_wall(due, now)),
        last_failure: view.last_failure,
    }
}

/// How one poller fares at `now`.
fn endpoint_status(progress: &Progress, now: DateTime<Utc>) -> EndpointStatus {
    let view = progress.view();
    EndpointStatus {
        account: progress.account().clone(),
        endpoint: progress.endpoint(),
        first_round_done: view.first_round_done,
        last_success: view.last_success,
        next_poll: view.next_due.and_then(|due| on_the_wall(due, now)),
        failing: view.failing,
        failures: view.failures,
        last_failure: view.last_failure,
    }
}

impl Site for LiveSite {
    async fn metrics(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
        self.exposition.page(format, gzip).await
    }

    async fn windows(&self, format: Format, gzip: bool) -> Result<WindowsPage, PageError> {
        self.exposition.windows(format, gzip).await
    }

    fn ready(&self) -> Result<(), String> {
        // Once ready, always ready: a reload that adds an account is no reason to stop sending scrapes.
        if self.was_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        {
            let discoveries = self
                .views
                .discovered
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Looked at before the store: a first list is in there before it counts as done.
            let first = discoveries
                .iter()
                .find(|progress| !progress.view().first_attempt_done);
            if let Some(progress) = first {
                return Err(format!(
                    "the first discovery of account {} is under way",
                    progress.account()
                ));
            }
        }
        match not_asked(&self.store.snapshot()) {
            None => {
                self.was_ready.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some((account, endpoint, left, all)) => Err(format!(
                "{left} of {} of account {account} at {endpoint} {} not been asked for yet",
                counted(all, "domain"),
                if left == 1 { "has" } else { "have" }
            )),
        }
    }

    fn status(&self) -> Status {
        let now = self.clock.now();
        let views = self.views.polled.lock().unwrap_or_else(PoisonError::into_inner);
        let discoveries = self
            .views
            .discovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Status {
            now,
            uptime: self.started.elapsed(),
            snapshot: self.store.snapshot(),
            endpoints: views
                .iter()
                .map(|progress| endpoint_status(progress, now))
                .collect(),
            discoveries: discoveries
                .iter()
                .map(|progress| discovery_status(progress, now))
                .collect(),
            settle: Some(self.store.settle_report(now)),
            shard: self.reloader.shard(),
        }
    }

    fn shards(&self) -> Vec<String> {
        self.reloader.listed_shards()
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        self.reloader.reload().await
    }
}
