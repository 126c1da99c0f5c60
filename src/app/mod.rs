//! The composition root: builds every part, runs them, reloads them, stops them. The only room that
//! knows both ends of the flow.

mod discoveries;
mod lists;
mod loader;
mod notices;
mod once;
mod pollers;
mod polling;
mod reload;
mod signals;
mod site;
mod tasks;

use std::net::TcpListener;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::Pace;
use crate::exposition::{BuildInfo, Exposition, SelfMetrics};
use crate::plan::Shard;
use crate::provider::{ClientError, Trust};
use crate::store::Store;
use crate::web::{Guard, Limits, Routes, Server, TelemetryPath, WebFile};
use crate::{build_info, systemd};

use discoveries::Discoveries;
use loader::Loader;
use pollers::Pollers;
use polling::PollingThread;
use reload::{Reloader, Surroundings};
use signals::Hangups;
use site::{LiveSite, Views};
use tasks::Tasks;

pub use once::discover_once;
pub use signals::{Signals, Stop};

/// Reads the configuration again: everything that is wrong with it, or the configuration.
pub type LoadConfig = dyn Fn() -> Result<Config, Vec<String>> + Send + Sync;

/// What the application is made of, besides its configuration.
pub struct Parts {
    /// Where to serve; bound before, so that nothing is polled when nothing could be served.
    pub listeners: Vec<TcpListener>,
    /// Where the metrics are.
    pub telemetry_path: TelemetryPath,
    /// For the connections to the provider that the configuration names.
    pub trust: Trust,
    /// TLS and passwords.
    pub web_file: Option<Arc<WebFile>>,
    /// What one client may take.
    pub limits: Limits,
    /// The wall clock.
    pub clock: Clock,
    /// Which of several exporters this is; it polls the domains that it owns.
    pub shard: Shard,
    /// How often lists of domains are discovered.
    pub discovery: Pace,
    /// For reloads.
    pub load_config: Arc<LoadConfig>,
}

/// The application cannot start, or a part of it ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The exporter's own metrics could not be set up: a defect.
    #[error("the exporter's own metrics cannot be set up")]
    SelfMetrics(#[from] crate::exposition::SelfMetricsError),
    /// The clients that ask.
    #[error("the provider cannot be asked")]
    Client(#[from] ClientError),
    /// The thread that polls.
    #[error("the thread that polls cannot be started")]
    Poll(#[source] std::io::Error),
    /// The listeners.
    #[error("the listeners cannot be used")]
    Serve(#[from] std::io::Error),
    /// No half-dead exporter: the process ends, and its supervisor starts it anew.
    #[error("{0} ended unexpectedly; this is a defect, please report it with the log")]
    PartEnded(String),
}

/// Serves and polls until `stop` is cancelled, then drains what is under way.
///
/// # Errors
/// When it cannot start, and when a part ends unexpectedly.
pub async fn run(config: Config, parts: Parts, stop: CancellationToken) -> Result<(), AppError> {
    let Parts {
        listeners,
        telemetry_path,
        trust,
        web_file,
        limits,
        clock,
        shard,
        discovery,
        load_config,
    } = parts;
    // Before anything else: until then a SIGHUP would end the process.
    let hangups = Hangups::new();
    let metrics = SelfMetrics::new(BuildInfo {
        version: build_info::VERSION,
        revision: build_info::REVISION,
        rustc: build_info::RUSTC,
    })?;
    metrics.reload_succeeded(clock.now());
    metrics.is_shard(shard);
    let store = Arc::new(Store::new(config.poll.visibility(), &[]));
    let polling = PollingThread::start().map_err(AppError::Poll)?;
    let tasks = Tasks::new(stop.child_token(), polling.handle().clone());
    let failed = tasks.failures();
    let pollers = Pollers::new(
        Arc::clone(&store),
        Arc::clone(&metrics),
        clock.clone(),
        tasks.clone(),
    );
    let polled = pollers.views();
    let mut discovered = None;
    let reloader = Arc::new_cyclic(|reloader| {
        let discoveries = Discoveries::new(
            Weak::clone(reloader),
            Arc::clone(&metrics),
            clock.clone(),
            tasks.clone(),
            discovery,
        );
        discovered = Some(discoveries.views());
        let surroundings = Surroundings {
            shard,
            web_file: web_file.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            tasks,
        };
        Reloader::new(pollers, discoveries, config, trust, surroundings)
    });
    reloader.start(Loader::new(load_config, web_file.clone()))?;
    let views = Views {
        polled,
        discovered: discovered.unwrap_or_default(),
    };
    let exposition = Exposition::new(Arc::clone(&store), metrics, clock.clone());
    let site = LiveSite::new(exposition, store, clock, views, Arc::clone(&reloader));
    let routes = Guard::new(Routes::new(site, telemetry_path), web_file.clone());
    let server = Server::new(routes, limits).with_web_file(web_file);

    let serving = server.serve(listeners, stop.clone());
    let hangups = hangups.each(|| reloader.reload());
    systemd::ready();
    let watchdog = systemd::watchdog(stop.clone(), polling.handle().clone());
    let ended = tokio::select! {
        outcome = serving => outcome.map_err(AppError::Serve),
        part = failed.unexpected_end() => Err(AppError::PartEnded(part)),
        () = async { tokio::join!(hangups, watchdog); } => Ok(()),
    };
    systemd::stopping();
    stop.cancel();
    reloader.stop().await;
    ended
}
