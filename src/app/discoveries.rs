//! Which accounts discover, and what each of their tasks is assigned: brings both in line with a
//! configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lists::list_source;
use super::pollers::Pollers;
use super::reload::Reloader;
use super::tasks::Tasks;
use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::{self, Assignment, Catalogue, Pace, Progress, Surroundings, Taken, Taker, Unlisted};
use crate::exposition::SelfMetrics;
use crate::model::{AccountName, DateShift, DomainList, Failure, ListPage, ListPageWanted};
use crate::provider::Client;

/// The provider's client is what discovery asks.
impl Catalogue for Client {
    async fn page(&self, wanted: ListPageWanted, shift: DateShift) -> Result<ListPage, Failure> {
        Client::list(self, wanted, shift).await
    }
}

/// Lists go where configurations are taken over. It owns the discoveries, so they do not hold it.
impl Taker for Weak<Reloader> {
    async fn take(
        &self,
        account: &AccountName,
        source: u64,
        list: Arc<DomainList>,
    ) -> Result<Taken, Unlisted> {
        match self.upgrade() {
            Some(reloader) => reloader.take(account, source, list),
            None => Ok(Taken::Stale),
        }
    }
}

/// The progress of every discovery, ordered by account as in the configuration.
pub(super) type DiscoveryViews = Arc<Mutex<Vec<Arc<Progress>>>>;

/// Every running discovery.
pub(super) struct Discoveries {
    taker: Weak<Reloader>,
    metrics: Arc<SelfMetrics>,
    clock: Clock,
    tasks: Tasks,
    pace: Pace,
    running: HashMap<AccountName, Running>,
    reloads: u64,
    views: DiscoveryViews,
}

struct Running {
    assignments: watch::Sender<Arc<Assignment<Client>>>,
    progress: Arc<Progress>,
    cancel: CancellationToken,
}

impl Discoveries {
    pub(super) fn new(
        taker: Weak<Reloader>,
        metrics: Arc<SelfMetrics>,
        clock: Clock,
        tasks: Tasks,
        pace: Pace,
    ) -> Self {
        Self {
            taker,
            metrics,
            clock,
            tasks,
            pace,
            running: HashMap::new(),
            reloads: 0,
            views: DiscoveryViews::default(),
        }
    }

    pub(super) fn views(&self) -> DiscoveryViews {
        Arc::clone(&self.views)
    }

    /// The configuration that is taken over next is that of a reload: every list is asked for at once.
    pub(super) fn reloading(&mut self) {
        self.reloads += 1;
    }

    /// Takes over a configuration that `pollers` have taken over, and how many domains each filter
    /// selects, of the accounts that have a list.
    pub(super) fn apply(&mut self, config: &Config, selected: &[(AccountName, usize)], pollers: &Pollers) {
        let count = |account: &AccountName| {
            let of_account = selected.iter().find(|(name, _)| name == account);
            of_account.map(|(_, count)| *count)
        };
        let discovering: Vec<(AccountName, Option<usize>)> = config
            .accounts
            .iter()
            .filter(|account| account.discover.is_some())
            .map(|account| (account.name.clone(), count(&account.name)))
            .collect();
        self.metrics.discovering(&discovering);
        self.running.retain(|account, running| {
            let stays = discovering.iter().any(|(name, _)| name == account);
            if !stays {
                running.cancel.cancel();
            }
            stays
        });
        let mut views = Vec::new();
        for account in &config.accounts {
            let Some((client, lane)) = account.discover.as_ref().and_then(|_| pollers.asks(account)) else {
                continue;
            };
            let assignment = Arc::new(Assignment {
                account: account.name.clone(),
                source: list_source(&config.api, account),
                reload: self.reloads,
                max_domains: account.max_domains,
                catalogue: client,
                lane,
            });
            let progress = self.assign(assignment);
            progress.selected(count(&account.name));
            views.push(progress);
        }
        *self.views.lock().unwrap_or_else(PoisonError::into_inner) = views;
    }

    /// Gives a running discovery its new assignment, or starts one.
    fn assign(&mut self, assignment: Arc<Assignment<Client>>) -> Arc<Progress> {
        let account = assignment.account.clone();
        if let Some(running) = self.running.get(&account) {
            running.assignments.send_replace(assignment);
            return Arc::clone(&running.progress);
        }
        let progress = Arc::new(Progress::new(account.clone()));
        let (assignments, receiver) = watch::channel(assignment);
        let cancel = self.tasks.token();
        let surroundings = Surroundings {
            taker: Weak::clone(&self.taker),
            observer: Arc::<SelfMetrics>::clone(&self.metrics),
            clock: self.clock.clone(),
            pace: self.pace,
        };
        let task = discovery::run(receiver, surroundings, Arc::clone(&progress), cancel.clone());
        let name = format!("the discovery of account {account}");
        self.tasks.spawn(name, cancel.clone(), task);
        let running = Running {
            assignments,
            progress: Arc::clone(&progress),
            cancel,
        };
        self.running.insert(account, running);
        progress
    }
}
