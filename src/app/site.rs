//! What the routes show: the metrics, readiness and the state of each poller.

use std::sync::{Arc, PoisonError};

use super::pollers::Views;
use super::reload::Reloader;
use crate::clock::Clock;
use crate::exposition::{Exposition, Format, Page, PageError, WindowsPage};
use crate::store::Store;
use crate::web::{AccountStatus, EndpointStatus, Site, Status};

pub(super) struct LiveSite {
    exposition: Exposition,
    store: Arc<Store>,
    clock: Clock,
    views: Views,
    reloader: Arc<Reloader>,
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
            views,
            reloader,
        }
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
        match views.iter().find(|progress| !progress.view().first_round_done) {
            None => Ok(()),
            Some(progress) => Err(format!(
                "the first round of account {} at {} is under way",
                progress.account(),
                progress.endpoint()
            )),
        }
    }

    fn status(&self) -> Status {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts: Vec<AccountStatus> = Vec::new();
        for progress in views.iter() {
            let view = progress.view();
            let endpoint = EndpointStatus {
                endpoint: progress.endpoint(),
                last_success: view.last_success,
                last_failure: view.last_failure.map(|(_, failure)| failure.reason),
                first_round_done: view.first_round_done,
            };
            match accounts
                .last_mut()
                .filter(|account| account.name == *progress.account())
            {
                Some(account) => account.endpoints.push(endpoint),
                None => accounts.push(AccountStatus {
                    name: progress.account().clone(),
                    endpoints: vec![endpoint],
                }),
            }
        }
        Status {
            accounts,
            settle: Some(self.store.settle_report(self.clock.now())),
        }
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        self.reloader.reload().await
    }
}
