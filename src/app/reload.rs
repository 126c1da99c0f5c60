//! Reads the configuration again and applies it whole, or changes nothing.

use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::LoadConfig;
use super::pollers::Pollers;
use super::roster::{self, Notices};
use crate::clock::Clock;
use crate::config::Config;
use crate::exposition::SelfMetrics;
use crate::plan::Shard;
use crate::systemd;

/// One reload at a time; others wait for their turn.
pub(super) struct Reloader {
    pollers: Mutex<Pollers>,
    shard: Shard,
    notices: Notices,
    /// Where all shards serve, of the configuration in use.
    listed: std::sync::Mutex<Vec<String>>,
    load: Arc<LoadConfig>,
    metrics: Arc<SelfMetrics>,
    clock: Clock,
    tasks: TaskTracker,
}

impl Reloader {
    pub(super) fn new(
        pollers: Pollers,
        shard: Shard,
        notices: Notices,
        listed: Vec<String>,
        load: Arc<LoadConfig>,
        metrics: Arc<SelfMetrics>,
        clock: Clock,
    ) -> Self {
        Self {
            pollers: Mutex::new(pollers),
            shard,
            notices,
            listed: std::sync::Mutex::new(listed),
            load,
            metrics,
            clock,
            tasks: TaskTracker::new(),
        }
    }

    /// Every problem of the new configuration, or nothing. It ends by itself, also when whoever asked
    /// for it has left meanwhile.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), Vec<String>> {
        let reloader = Arc::clone(self);
        let reload = self.tasks.spawn(async move { reloader.reload_now().await });
        reload.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the reload ended unexpectedly");
            Err(vec!["the reload ended unexpectedly; see the log".to_owned()])
        })
    }

    async fn reload_now(&self) -> Result<(), Vec<String>> {
        let mut pollers = self.pollers.lock().await;
        systemd::reloading();
        let load = Arc::clone(&self.load);
        // Files are read on a thread that serves and polls nothing.
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let applied = match loaded {
            Ok(Ok(config)) => pollers
                .apply(&roster::effective(&config, self.shard))
                .map(|()| self.took_over(&config))
                .map_err(|error| vec![crate::telemetry::chain(&error)]),
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

    fn took_over(&self, config: &Config) {
        self.notices.tell(config, self.shard);
        self.listed().clone_from(&config.shards);
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

    /// Stops the pollers; a reload that comes later finds them stopped.
    pub(super) async fn stop(&self) {
        self.pollers.lock().await.stop().await;
    }
}
