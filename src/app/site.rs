//! What the routes show: the metrics, readiness and the state of each poller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::pollers::Views;
use super::reload::Reloader;
use crate::clock::Clock;
use crate::exposition::{Exposition, Format, Page, PageError, WindowsPage};
use crate::poller::Progress;
use crate::store::Store;
use crate::web::{EndpointStatus, Site, Status};

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

/// How one poller fares at `now`.
fn endpoint_status(progress: &Progress, now: DateTime<Utc>) -> EndpointStatus {
    let view = progress.view();
    // Due times are kept on the clock that cannot be set, and told on the wall's.
    let until = |due: Instant| TimeDelta::from_std(due.saturating_duration_since(Instant::now())).ok();
    EndpointStatus {
        account: progress.account().clone(),
        endpoint: progress.endpoint(),
        first_round_done: view.first_round_done,
        last_success: view.last_success,
        next_poll: view
            .next_due
            .and_then(until)
            .and_then(|wait| now.checked_add_signed(wait)),
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
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        // Once ready, always ready: a reload that adds an account is no reason to stop sending scrapes.
        if self.was_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        match views.iter().find(|progress| !progress.view().first_round_done) {
            None => {
                self.was_ready.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(progress) => Err(format!(
                "the first round of account {} at {} is under way",
                progress.account(),
                progress.endpoint()
            )),
        }
    }

    fn status(&self) -> Status {
        let now = self.clock.now();
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            now,
            uptime: self.started.elapsed(),
            snapshot: self.store.snapshot(),
            endpoints: views
                .iter()
                .map(|progress| endpoint_status(progress, now))
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
