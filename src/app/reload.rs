//! Where configurations and discovered lists are taken over: each whole or not at all, one at a time.

use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::LoadConfig;
use super::discoveries::Discoveries;
use super::lists::{Contested, Joined, Lists, TooMany, joined, list_source};
use super::pollers::Pollers;
use super::roster::{self, Notices, Told};
use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::{Taken, Unlisted};
use crate::exposition::SelfMetrics;
use crate::model::{AccountName, Disposition, DomainList, Failure, Reason};
use crate::plan::Shard;
use crate::provider::ClientError;
use crate::systemd;
use crate::telemetry::chain;

/// One reload or list at a time; others wait for their turn.
pub(super) struct Reloader {
    state: Mutex<State>,
    shard: Shard,
    /// Where all shards serve, of the configuration in use.
    listed: std::sync::Mutex<Vec<String>>,
    load: Arc<LoadConfig>,
    metrics: Arc<SelfMetrics>,
    clock: Clock,
    reloads: TaskTracker,
    /// Where they run.
    runtime: Handle,
}

/// What is in force.
struct State {
    pollers: Pollers,
    discoveries: Discoveries,
    /// What lists are joined with, if there can be any: a hundred thousand domains are not kept twice.
    config: Option<Arc<Config>>,
    lists: Lists,
    shard: Shard,
    notices: Notices,
    /// What the log has been told of.
    contested: Vec<Contested>,
}

/// Why something is not taken over; nothing has been changed then.
enum Refused {
    TooMany(Vec<TooMany>),
    Client(ClientError),
}

impl Refused {
    fn problems(&self) -> Vec<String> {
        match self {
            Self::TooMany(accounts) => accounts.iter().map(ToString::to_string).collect(),
            Self::Client(error) => vec![chain(error)],
        }
    }
}

impl State {
    /// Takes over a configuration with the lists that belong to it.
    fn apply(&mut self, config: &Config, mut lists: Lists) -> Result<(), Refused> {
        lists.retain(config);
        let Joined {
            config: all,
            selected,
            barren,
            contested,
        } = joined(config, &lists).map_err(Refused::TooMany)?;
        let told = Told::of(&all, barren, self.shard);
        let own = roster::effective(all, self.shard);
        self.pollers.apply(&own).map_err(Refused::Client)?;
        self.discoveries.apply(config, &selected, &self.pollers);
        self.notices.tell(told, self.shard);
        for new in contested.iter().filter(|new| !self.contested.contains(new)) {
            let Contested {
                account,
                other,
                domains,
                example,
            } = new;
            tracing::info!(%account, %other, domains, %example,
                "domains that account \"other\" discovers too are read through \"account\"");
        }
        self.contested = contested;
        self.lists = lists;
        Ok(())
    }
}

/// The configuration, if an account of it discovers.
fn joinable(config: Arc<Config>) -> Option<Arc<Config>> {
    config.discovers().then_some(config)
}

impl Reloader {
    /// Nothing is in force before [`Reloader::start`].
    pub(super) fn new(
        pollers: Pollers,
        discoveries: Discoveries,
        config: Config,
        shard: Shard,
        load: Arc<LoadConfig>,
        metrics: Arc<SelfMetrics>,
        clock: Clock,
    ) -> Self {
        let runtime = pollers.runtime().clone();
        Self {
            shard,
            listed: std::sync::Mutex::new(config.shards.clone()),
            state: Mutex::new(State {
                pollers,
                discoveries,
                config: Some(Arc::new(config)),
                lists: Lists::default(),
                shard,
                notices: Notices::default(),
                contested: Vec::new(),
            }),
            load,
            metrics,
            clock,
            reloads: TaskTracker::new(),
            runtime,
        }
    }

    /// Takes over the configuration that it was made with.
    pub(super) async fn start(&self) -> Result<(), ClientError> {
        let mut state = self.state.lock().await;
        let Some(config) = state.config.take() else {
            return Ok(());
        };
        let applied = state.apply(&config, Lists::default());
        state.config = joinable(config);
        match applied {
            // Without lists there cannot be more domains than the configuration has been checked for.
            Ok(()) | Err(Refused::TooMany(_)) => Ok(()),
            Err(Refused::Client(error)) => Err(error),
        }
    }

    /// Takes over the list that was discovered for an account.
    pub(super) async fn take(
        &self,
        account: &AccountName,
        source: u64,
        list: Arc<DomainList>,
    ) -> Result<Taken, Unlisted> {
        let mut state = self.state.lock().await;
        let Some(config) = state.config.clone() else {
            return Ok(Taken::Stale);
        };
        let Some(discovering) = config.accounts.iter().find(|known| {
            known.name == *account && known.discover.is_some() && list_source(&config.api, known) == source
        }) else {
            return Ok(Taken::Stale);
        };
        if state.lists.of(discovering, &config.api) == Some(&list) {
            return Ok(Taken::Over);
        }
        let domains = list.domains.len();
        let lists = state.lists.with(account, source, list);
        match state.apply(&config, lists) {
            Ok(()) => {
                tracing::info!(%account, listed = domains, "took over the provider's list of domains");
                Ok(Taken::Over)
            }
            Err(refused @ Refused::TooMany(_)) => Err(Unlisted::TooMany(refused.problems().join("; "))),
            Err(Refused::Client(error)) => Err(Unlisted::Call(Failure {
                reason: Reason::Connect,
                disposition: Disposition::Stop,
                message: chain(&error),
            })),
        }
    }

    /// Every problem of the new configuration, or nothing. It ends by itself, also when whoever asked
    /// for it has left meanwhile.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), Vec<String>> {
        let reloader = Arc::clone(self);
        // With many domains this takes a while, in which scrapes go on.
        let reload = async move { reloader.reload_now().await };
        let reload = self.reloads.spawn_on(reload, &self.runtime);
        reload.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the reload ended unexpectedly");
            Err(vec!["the reload ended unexpectedly; see the log".to_owned()])
        })
    }

    async fn reload_now(&self) -> Result<(), Vec<String>> {
        let mut state = self.state.lock().await;
        systemd::reloading();
        let load = Arc::clone(&self.load);
        // Files are read on a thread that serves and polls nothing.
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let applied = match loaded {
            Ok(Ok(config)) => {
                let lists = state.lists.clone();
                state.discoveries.reloading();
                match state.apply(&config, lists) {
                    Ok(()) => {
                        self.listed().clone_from(&config.shards);
                        state.config = joinable(Arc::new(config));
                        Ok(())
                    }
                    Err(refused) => Err(refused.problems()),
                }
            }
            Ok(Err(problems)) => Err(problems),
            Err(_) => Err(vec![
                "reading the configuration failed unexpectedly; see the log".to_owned(),
            ]),
        };
        match &applied {
            Ok(()) => {
                self.metrics.reload_succeeded(self.clock.now());
                tracing::info!("configuration reloaded");
            }
            Err(problems) => {
                self.metrics.reload_failed();
                for problem in problems {
                    tracing::error!(%problem, "configuration not reloaded, the old one stays in use");
                }
            }
        }
        systemd::ready();
        applied
    }

    /// Which of several exporters this is.
    pub(super) const fn shard(&self) -> Shard {
        self.shard
    }

    /// Where all shards serve, in the order of their ordinals.
    pub(super) fn listed_shards(&self) -> Vec<String> {
        self.listed().clone()
    }

    fn listed(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops everything that runs; a reload that comes later finds it stopped.
    pub(super) async fn stop(&self) {
        self.state.lock().await.pollers.stop().await;
    }
}
