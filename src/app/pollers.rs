//! Which pollers run, and what each of them is assigned: brings both in line with a configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use crate::clock::Clock;
use crate::config::{Account, Api, Config};
use crate::exposition::SelfMetrics;
use crate::model::{AccountName, Answer, DateShift, Domain, Endpoint, Failure, WindowRange, stable_hash};
use crate::observer::Observer;
use crate::poller::{self, Assignment, Lane, Progress, Surroundings, Upstream};
use crate::provider::{Client, ClientError, Connections, Trust};
use crate::store::{RosterEntry, Store};

/// The provider's client is what the poller asks.
impl Upstream for Client {
    async fn read(
        &self,
        endpoint: Endpoint,
        domains: &[Domain],
        range: WindowRange,
        shift: DateShift,
    ) -> Result<Answer, Failure> {
        Client::read(self, endpoint, domains, range, shift).await
    }
}

/// The progress of every running poller, ordered by account and endpoint as in the configuration.
pub(super) type PollerViews = Arc<Mutex<Vec<Arc<Progress>>>>;

/// Every running poller.
pub(super) struct Pollers {
    store: Arc<Store>,
    metrics: Arc<SelfMetrics>,
    clock: Clock,
    tasks: Tasks,
    running: HashMap<(AccountName, Endpoint), Running>,
    lanes: HashMap<AccountName, Arc<Lane>>,
    connections: Option<(Api, HashMap<AccountName, Connections>)>,
    views: PollerViews,
}

struct Running {
    assignments: watch::Sender<Arc<Assignment<Client>>>,
    progress: Arc<Progress>,
    cancel: CancellationToken,
}

impl Pollers {
    pub(super) fn new(store: Arc<Store>, metrics: Arc<SelfMetrics>, clock: Clock, tasks: Tasks) -> Self {
        Self {
            store,
            metrics,
            clock,
            tasks,
            running: HashMap::new(),
            lanes: HashMap::new(),
            connections: None,
            views: PollerViews::default(),
        }
    }

    fn observer(&self) -> Arc<dyn Observer> {
        Arc::<SelfMetrics>::clone(&self.metrics)
    }

    pub(super) fn views(&self) -> PollerViews {
        Arc::clone(&self.views)
    }

    /// What asks for an account's list of domains: its client, and its lane once it has one.
    pub(super) fn asks(&self, account: &Account) -> Option<(Client, Arc<Lane>)> {
        let lane = self.lanes.get(&account.name)?;
        let (api, connections) = self.connections.as_ref()?;
        let client = Client::new(
            connections.get(&account.name)?.clone(),
            Arc::new(api.clone()),
            account,
            self.clock.clone(),
            self.observer(),
        );
        Some((client, Arc::clone(lane)))
    }

    /// Takes over a configuration as a whole: what fails, fails before anything is changed. What is not connected yet
    /// connects with `trust`.
    pub(super) fn apply(&mut self, config: &Config, trust: &Trust) -> Result<(), ClientError> {
        let api = Arc::new(config.api.clone());
        let connections = self.connections_for(config, trust)?;
        self.store.reconfigure(config.poll.visibility(), &roster(config));
        self.retain(config);
        let mut views = Vec::new();
        for account in &config.accounts {
            let Some(own) = connections.get(&account.name) else {
                continue;
            };
            let lane = self.lane(account, &api);
            let client = Client::new(
                own.clone(),
                Arc::clone(&api),
                account,
                self.clock.clone(),
                self.observer(),
            );
            for endpoint in Endpoint::ALL {
                // One copy of each name, the store's: those of the configuration go with it, and the
                // memory between them can be given back.
                let domains = self.store.held(account.domains_of(endpoint));
                if domains.is_empty() {
                    continue;
                }
                let assignment = Arc::new(Assignment {
                    account: account.name.clone(),
                    source: source(&api, account),
                    domains,
                    batch: account.batch(endpoint),
                    interval: config.poll.interval,
                    window: config.poll.visibility().rule.horizon,
                    upstream: client.clone(),
                    lane: Arc::clone(&lane),
                });
                views.push(self.assign(endpoint, assignment));
            }
        }
        *self.views.lock().unwrap_or_else(PoisonError::into_inner) = views;
        self.connections = Some((config.api.clone(), connections));
        Ok(())
    }

    /// Each account's own connections, those that are open as long as the settings are the same. Over
    /// HTTP/2 all requests of a host share one connection and its limit of streams, which an account
    /// whose requests hang would use up for the others.
    fn connections_for(
        &self,
        config: &Config,
        trust: &Trust,
    ) -> Result<HashMap<AccountName, Connections>, ClientError> {
        let open = self
            .connections
            .as_ref()
            .filter(|(used, _)| *used == config.api)
            .map(|(_, open)| open);
        let mut connections = HashMap::with_capacity(config.accounts.len());
        for account in &config.accounts {
            let own = match open.and_then(|open| open.get(&account.name)) {
                Some(own) => own.clone(),
                None => Connections::new(&config.api, trust)?,
            };
            connections.insert(account.name.clone(), own);
        }
        Ok(connections)
    }

    /// Stops the pollers, and forgets the metrics, of accounts and endpoints that left.
    fn retain(&mut self, config: &Config) {
        let stays = |name: &AccountName, endpoint: Endpoint| {
            config
                .accounts
                .iter()
                .any(|account| account.name == *name && account.domains_of(endpoint).next().is_some())
        };
        self.running.retain(|(account, endpoint), running| {
            let stays = stays(account, *endpoint);
            if !stays {
                running.cancel.cancel();
            }
            stays
        });
        self.lanes
            .retain(|name, _| config.accounts.iter().any(|account| account.name == *name));
        let configured = config.accounts.iter().map(|account| {
            let endpoints = Endpoint::ALL.into_iter();
            let read = endpoints.filter(|endpoint| account.domains_of(*endpoint).next().is_some());
            (account.name.clone(), read.collect())
        });
        self.metrics.retain(configured.collect());
    }

    /// The account's lane; the same as before while its limits are, so that a throttled account
    /// stays throttled through a reload.
    fn lane(&mut self, account: &Account, api: &Api) -> Arc<Lane> {
        let same_limits = self.connections.as_ref().is_none_or(|(used, _)| {
            used.max_concurrency == api.max_concurrency
                && used.max_requests_per_second.to_bits() == api.max_requests_per_second.to_bits()
        });
        if let Some(lane) = self.lanes.get(&account.name).filter(|_| same_limits) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane::new(
            account.name.clone(),
            api.max_concurrency,
            api.max_requests_per_second,
            self.observer(),
        ));
        self.lanes.insert(account.name.clone(), Arc::clone(&lane));
        lane
    }

    /// Gives a running poller its new assignment, or starts one.
    fn assign(&mut self, endpoint: Endpoint, assignment: Arc<Assignment<Client>>) -> Arc<Progress> {
        let account = assignment.account.clone();
        if let Some(running) = self.running.get(&(account.clone(), endpoint)) {
            running.assignments.send_replace(assignment);
            return Arc::clone(&running.progress);
        }
        let progress = Arc::new(Progress::new(account.clone(), endpoint));
        let (assignments, receiver) = watch::channel(assignment);
        let cancel = self.tasks.token();
        let surroundings = Surroundings {
            store: Arc::clone(&self.store),
            observer: self.observer(),
            clock: self.clock.clone(),
        };
        let polling = poller::run(
            endpoint,
            receiver,
            surroundings,
            Arc::clone(&progress),
            cancel.clone(),
        );
        let name = format!("the poller of account {account}, endpoint {endpoint},");
        self.tasks.spawn(name, cancel.clone(), polling);
        let running = Running {
            assignments,
            progress: Arc::clone(&progress),
            cancel,
        };
        self.running.insert((account, endpoint), running);
        progress
    }
}

fn roster(config: &Config) -> Vec<RosterEntry> {
    config
        .accounts
        .iter()
        .flat_map(|account| {
            let source = source(&config.api, account);
            account.domains.iter().map(move |domain| RosterEntry {
                domain: domain.name.clone(),
                account: account.name.clone(),
                endpoints: domain.endpoints.clone(),
                source,
            })
        })
        .collect()
}

/// What decides whether two readings of a domain are comparable.
fn source(api: &Api, account: &Account) -> u64 {
    let Account {
        name,
        username,
        units,
        origin_ratio_label,
        ..
    } = account;
    stable_hash(
        format!(
            "{name}\n{username}\n{units:?}\n{origin_ratio_label:?}\n{}\n{}",
            api.time_zone, api.base_url
        )
        .as_bytes(),
    )
}
