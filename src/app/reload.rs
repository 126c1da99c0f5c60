//! Where configurations and discovered lists are taken over: each whole or not at all, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::discoveries::Discoveries;
use super::lists::{Contested, Joined, Lists, TooMany, joined, list_source};
use super::loader::{Loaded, Loader};
use super::notices::{Notices, Told};
use super::pollers::Pollers;
use super::tasks::Tasks;
use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::{Taken, Unlisted};
use crate::exposition::SelfMetrics;
use crate::model::{AccountName, Disposition, DomainList, Failure, Reason};
use crate::plan::Shard;
use crate::provider::{ClientError, Trust};
use crate::systemd;
use crate::telemetry::chain;
use crate::web::WebFile;

/// One reload at a time, by one task: who asks while it is under way is answered by the next, which reads the files
/// anew, together with all others who asked meanwhile.
///
/// A defect while files are read is a refusal, as nothing has been changed then. One while they are taken over ends
/// that task and with it the process: what is in force would be neither the old configuration nor the new one.
pub(super) struct Reloader {
    /// Held for one step without waiting, never while files are read.
    state: Mutex<State>,
    shard: Shard,
    /// Where all shards serve, of the configuration in use.
    listed: Mutex<Vec<String>>,
    web_file: Option<Arc<WebFile>>,
    metrics: Arc<SelfMetrics>,
    clock: Clock,
    tasks: Tasks,
    stop: CancellationToken,
    /// How often a reload was asked for.
    asked: watch::Sender<u64>,
    answered: watch::Sender<Answered>,
}

/// What became of the last reload.
struct Answered {
    /// It began after so many had asked.
    asked: u64,
    outcome: Result<(), Vec<String>>,
}

/// What is in force.
struct State {
    pollers: Pollers,
    discoveries: Discoveries,
    /// What lists are joined with, if there can be any: a hundred thousand domains are not kept twice.
    config: Option<Arc<Config>>,
    /// What new connections trust.
    trust: Trust,
    lists: Lists,
    shard: Shard,
    notices: Notices,
    /// What the log has been told of.
    contested: Vec<Contested>,
}

/// Why a configuration is joined with lists and taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The start, or another list.
    Lists,
    /// An operator wants it, and the lists asked for at once.
    Reload,
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
    /// Takes over a configuration with what was read for it and the lists that belong to it.
    fn apply(
        &mut self,
        config: &Config,
        trust: Trust,
        mut lists: Lists,
        cause: Cause,
    ) -> Result<(), Refused> {
        lists.retain(config);
        let Joined {
            config: all,
            selected,
            barren,
            contested,
        } = joined(config, &lists).map_err(Refused::TooMany)?;
        let told = Told::of(&all, barren, self.shard);
        let own = Config::of_shard(all, self.shard);
        self.pollers.apply(&own, &trust).map_err(Refused::Client)?;
        if cause == Cause::Reload {
            self.discoveries.reloading();
        }
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
        self.trust = trust;
        self.lists = lists;
        Ok(())
    }
}

/// The configuration, if an account of it discovers.
fn joinable(config: Arc<Config>) -> Option<Arc<Config>> {
    config.discovers().then_some(config)
}

/// What a reloader works with.
pub(super) struct Surroundings {
    pub(super) shard: Shard,
    pub(super) web_file: Option<Arc<WebFile>>,
    pub(super) metrics: Arc<SelfMetrics>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl Reloader {
    /// Nothing is in force before [`Reloader::start`].
    pub(super) fn new(
        pollers: Pollers,
        discoveries: Discoveries,
        config: Config,
        trust: Trust,
        surroundings: Surroundings,
    ) -> Self {
        let Surroundings {
            shard,
            web_file,
            metrics,
            clock,
            tasks,
        } = surroundings;
        Self {
            shard,
            listed: Mutex::new(config.shards.clone()),
            state: Mutex::new(State {
                pollers,
                discoveries,
                config: Some(Arc::new(config)),
                trust,
                lists: Lists::default(),
                shard,
                notices: Notices::default(),
                contested: Vec::new(),
            }),
            web_file,
            metrics,
            clock,
            stop: tasks.token(),
            tasks,
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(Answered {
                asked: 0,
                outcome: Ok(()),
            }),
        }
    }

    /// Takes over the configuration that it was made with; from then on, what `loader` loads at every reload.
    pub(super) fn start(self: &Arc<Self>, loader: Loader) -> Result<(), ClientError> {
        let mut state = self.state();
        let Some(config) = state.config.take() else {
            return Ok(());
        };
        let trust = state.trust.clone();
        let applied = state.apply(&config, trust, Lists::default(), Cause::Lists);
        state.config = joinable(config);
        match applied {
            // Without lists there cannot be more domains than the configuration has been checked for.
            Ok(()) | Err(Refused::TooMany(_)) => {}
            Err(Refused::Client(error)) => return Err(error),
        }
        let token = self.tasks.token();
        // On the thread that polls: with many domains this takes a while, in which scrapes go on.
        let reloads = Arc::clone(self).reloads(loader, self.asked.subscribe());
        let until = token.clone();
        let reloads = async move {
            let _cancelled = until.run_until_cancelled(reloads).await;
        };
        self.tasks
            .spawn("the task that reloads".to_owned(), token, reloads);
        Ok(())
    }

    /// Takes over the list that was discovered for an account.
    pub(super) fn take(
        &self,
        account: &AccountName,
        source: u64,
        list: Arc<DomainList>,
    ) -> Result<Taken, Unlisted> {
        let mut state = self.state();
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
        let trust = state.trust.clone();
        match state.apply(&config, trust, lists, Cause::Lists) {
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

    /// Every problem of the new configuration, or nothing. The reload goes on when whoever asked for it leaves.
    pub(super) async fn reload(&self) -> Result<(), Vec<String>> {
        let mut answers = self.answered.subscribe();
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let stopping = || Err(vec!["the exporter is stopping".to_owned()]);
        tokio::select! {
            answered = answers.wait_for(|answered| answered.asked >= number) => {
                answered.map_or_else(|_| stopping(), |answered| answered.outcome.clone())
            }
            () = self.stop.cancelled() => stopping(),
        }
    }

    /// Reloads whenever somebody has asked.
    async fn reloads(self: Arc<Self>, mut loader: Loader, mut asked: watch::Receiver<u64>) {
        while asked.changed().await.is_ok() {
            let asked = *asked.borrow_and_update();
            systemd::reloading();
            let outcome = loader.load().await.and_then(|loaded| self.take_over(loaded));
            match &outcome {
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
            self.answered.send_replace(Answered { asked, outcome });
        }
    }

    /// Takes over all files or none; a good web configuration may be in force already, by a request's look at it.
    fn take_over(&self, loaded: Loaded) -> Result<(), Vec<String>> {
        let Loaded { config, trust, web } = loaded;
        let mut state = self.state();
        let lists = state.lists.clone();
        state
            .apply(&config, trust, lists, Cause::Reload)
            .map_err(|refused| refused.problems())?;
        self.listed().clone_from(&config.shards);
        state.config = joinable(Arc::new(config));
        if let (Some(file), Some(version)) = (&self.web_file, web) {
            file.take_over(version);
        }
        Ok(())
    }

    /// Which of several exporters this is.
    pub(super) const fn shard(&self) -> Shard {
        self.shard
    }

    /// Where all shards serve, in the order of their ordinals.
    pub(super) fn listed_shards(&self) -> Vec<String> {
        self.listed().clone()
    }

    fn listed(&self) -> MutexGuard<'_, Vec<String>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops everything that runs; a reload that is asked for later is told so.
    pub(super) async fn stop(&self) {
        self.tasks.stop().await;
    }
}
