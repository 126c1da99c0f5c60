//! A simulated provider and the exporter in this process, both on a clock that a test moves, and the
//! truth in the units of the exporter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use jdcloud_cdn_exporter::app::{self, AppError, Parts};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::config::{self, Environment};
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::simulator::{OwnedDomain, SimulatedAccount, Simulator, SimulatorOptions, Traffic};
use jdcloud_cdn_exporter::web::{Limits, TelemetryPath, listener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::figures::{self, Figure, WINDOW};
use crate::http;
use crate::server::{PATIENCE, free_address, until};

/// `poll.window`, in seconds.
pub(crate) const HORIZON: i64 = 3_600;
/// `poll.settle`, in seconds.
pub(crate) const SETTLE: i64 = 600;

/// From one poll to the next; a configuration may not ask for so many.
const POLL: Duration = Duration::from_millis(100);

/// The provider, and the exporter while it runs.
pub(crate) struct Site {
    pub(crate) provider: Simulator,
    pub(crate) domains: Vec<Domain>,
    /// Where the exporter is whenever it runs.
    pub(crate) address: SocketAddr,
    clock: ManualClock,
    exporter: Option<Exporter>,
}

struct Exporter {
    stop: CancellationToken,
    app: JoinHandle<Result<(), AppError>>,
}

impl Site {
    /// Both run, at this Unix time; the last domain is known to `bandwidth_flow` only.
    pub(crate) async fn start(now: i64, names: &[&str], traffic: Traffic) -> Self {
        let clock = ManualClock::new(DateTime::from_timestamp(now, 0).unwrap());
        let domains: Vec<Domain> = names.iter().map(|name| Domain::parse(name).unwrap()).collect();
        let owned = |(place, name): (usize, &Domain)| OwnedDomain {
            name: name.clone(),
            live_only: place + 1 == names.len(),
        };
        let provider = Simulator::start(SimulatorOptions {
            accounts: vec![SimulatedAccount {
                username: "someone".to_owned(),
                secret_key: "a made-up key".into(),
                domains: domains.iter().enumerate().map(owned).collect(),
            }],
            traffic,
            ..SimulatorOptions::new(Clock::Manual(clock.clone()))
        })
        .await
        .unwrap();
        let mut site = Self {
            provider,
            domains,
            address: free_address(),
            clock,
            exporter: None,
        };
        site.start_exporter();
        site
    }

    pub(crate) fn start_exporter(&mut self) {
        let load = self.loader();
        let listeners = listener::bind(&[self.address.to_string().parse().unwrap()]).unwrap();
        let config = load().unwrap();
        let parts = Parts {
            listeners,
            telemetry_path: TelemetryPath::default(),
            trust: Trust::read(&config.api).unwrap(),
            web_file: None,
            limits: Limits::default(),
            clock: Clock::Manual(self.clock.clone()),
            shard: Shard::WHOLE,
            discovery: Pace::default(),
            load_config: Arc::new(load),
        };
        let stop = CancellationToken::new();
        let app = tokio::runtime::Handle::current().spawn(app::run(config, parts, stop.clone()));
        self.exporter = Some(Exporter { stop, app });
    }

    /// Stops it, which must end well.
    pub(crate) async fn stop_exporter(&mut self) {
        let Exporter { stop, app } = self.exporter.take().expect("it runs");
        stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, app).await;
        ended.expect("it ends").expect("without a panic").unwrap();
    }

    fn loader(&self) -> impl Fn() -> Result<config::Config, Vec<String>> + Clone + Send + Sync + use<> {
        let (live, others) = self.domains.split_last().unwrap();
        let others: String = others
            .iter()
            .flat_map(|name| ["      - ", name.as_str(), "\n"])
            .collect();
        let text = format!(
            "api:\n  base_url: {}\n  max_requests_per_second: 1000\npoll:\n  window: {HORIZON}s\n  settle: \
             {SETTLE}s\naccounts:\n  - username: someone\n    secret_key: a made-up key\n    domains:\n\
             {others}      - name: {live}\n        endpoints: [bandwidth_flow]\n",
            self.provider.base_url()
        );
        move || {
            let mut config = config::parse(&text, "test.yaml", &Environment::default())
                .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            config.poll.interval = POLL;
            Ok(config)
        }
    }

    /// The time at the provider and in the exporter.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now() + TimeDelta::seconds(seconds));
    }

    /// Waits until the exporter has read what the provider has now.
    pub(crate) async fn polled(&self) {
        let asked = || self.provider.request_count(Endpoint::BandwidthFlow);
        let before = asked();
        until("two more polls", async || {
            // The first may have begun before, and when the third begins the second has ended.
            (asked() >= before + 3)
                .then_some(())
                .ok_or_else(|| asked().to_string())
        })
        .await;
    }

    /// Waits until the exporter says of every domain that the provider cannot be asked.
    pub(crate) async fn noticed(&self) {
        until("no domain is up", async || {
            let reply = http::request(self.address, "GET", "/metrics", &[]).await.unwrap();
            let ups = reply
                .text()
                .lines()
                .filter(|line| line.starts_with("jdcloud_cdn_up{"));
            let ups: Vec<&str> = ups.collect();
            let down = !ups.is_empty() && ups.iter().all(|line| line.ends_with(" 0"));
            down.then_some(()).ok_or_else(|| ups.join("\n"))
        })
        .await;
    }

    /// The end of the newest window that is settled.
    pub(crate) fn settled(&self) -> i64 {
        (self.now() - SETTLE).div_euclid(WINDOW) * WINDOW
    }

    /// What a family must show of a domain for the windows that end in `(start, end]`.
    pub(crate) fn truth(&self, figure: Figure, domain: &Domain, start: i64, end: i64) -> Vec<(i64, f64)> {
        if figures::is_of_origin(figure) && Some(domain) == self.domains.last() {
            return Vec::new();
        }
        figures::truth(&self.provider, figure, domain, start, end)
    }
}
