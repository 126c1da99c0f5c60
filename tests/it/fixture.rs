//! The exporter in this process, on a free port, against a simulator of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use jdcloud_cdn_exporter::app::{self, AppError, Parts};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::config::{self, Config, Environment, Problems};
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::simulator::{
    Fault, OwnedDomain, RequestRecord, SimulatedAccount, Simulator, SimulatorOptions, Traffic,
};
use jdcloud_cdn_exporter::web::{Limits, TelemetryPath, listener};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Reply};
use crate::page;
use crate::truth::{self, DECIMAL, Samples};

/// The credentials of the provider's documents.
pub(crate) const USERNAME: &str = "jcloud_00";
pub(crate) const SECRET_KEY: &str = "e7a31b1c5ea0efa9aa2f29c6559f7d61";

/// Longer than any condition takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// `poll.settle` and `poll.stale_after` by default, in seconds.
pub(crate) const SETTLE: i64 = 600;
pub(crate) const STALE_AFTER: i64 = 2_400;

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What a test starts with; change what matters to it.
pub(crate) struct Setup {
    /// What both clocks show at the start.
    pub(crate) now: DateTime<Utc>,
    /// Of one account, at the provider and in the configuration; live ones are read at
    /// `bandwidth_flow` only.
    pub(crate) domains: Vec<OwnedDomain>,
    /// From one poll to the next; tests poll far more often than a configuration may ask for.
    pub(crate) interval: Duration,
    /// Further lines of these sections of the configuration.
    pub(crate) api: &'static str,
    pub(crate) account: &'static str,
    pub(crate) traffic: Traffic,
    /// Of the simulator; the exporter's is `time_zone` in `api`.
    pub(crate) time_zone: FixedOffset,
    /// Another provider than the simulator.
    pub(crate) base_url: Option<String>,
    /// The provider cannot be reached at the start.
    pub(crate) down: bool,
    /// Which of several exporters it is.
    pub(crate) shard: Shard,
    /// What goes wrong from the start.
    pub(crate) faults: Vec<(Endpoint, Fault)>,
    /// How often lists of domains are read; tests read them far more often than an exporter does.
    pub(crate) discovery: Pace,
    /// Further accounts at the provider.
    pub(crate) others: Vec<SimulatedAccount>,
    /// Another configuration than one account with the domains, for the provider's address.
    pub(crate) text: Option<fn(&str) -> String>,
    /// What is changed of every configuration that was loaded.
    pub(crate) adjust: fn(&mut Config),
}

impl Setup {
    /// Domains that both endpoints know, prompt data and ten polls a second.
    pub(crate) fn of(domains: &[&str]) -> Self {
        Self {
            now: at("2026-03-14T04:07:30Z"),
            domains: domains
                .iter()
                .map(|name| OwnedDomain::new(Domain::parse(name).unwrap()))
                .collect(),
            interval: millis(100),
            api: "max_requests_per_second: 1000",
            account: "units: decimal",
            traffic: Traffic::prompt(7),
            time_zone: FixedOffset::east_opt(8 * 3_600).unwrap(),
            base_url: None,
            down: false,
            shard: Shard::WHOLE,
            faults: Vec::new(),
            discovery: Pace {
                every: millis(100),
                after_failure: millis(50),
            },
            others: Vec::new(),
            text: None,
            adjust: |_| {},
        }
    }

    /// So many domains, `d0.example.com` and so on.
    pub(crate) fn many(count: usize) -> Self {
        let names: Vec<String> = (0..count)
            .map(|number| format!("d{number}.example.com"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Self::of(&names)
    }

    /// All domains are read at `bandwidth_flow` only.
    pub(crate) fn live(mut self) -> Self {
        for domain in &mut self.domains {
            domain.live_only = true;
        }
        self
    }

    pub(crate) async fn start(self) -> Running {
        let clock = ManualClock::new(self.now);
        let mut accounts = vec![SimulatedAccount {
            username: USERNAME.to_owned(),
            secret_key: SECRET_KEY.into(),
            domains: self.domains.clone(),
        }];
        accounts.extend(self.others);
        let simulator = Simulator::start(SimulatorOptions {
            accounts,
            traffic: self.traffic.clone(),
            time_zone: self.time_zone,
            ..SimulatorOptions::new(Clock::Manual(clock.clone()))
        })
        .await
        .unwrap();
        for (endpoint, fault) in &self.faults {
            simulator.faults().set(*endpoint, *fault);
        }
        if self.down {
            simulator.go_down().await;
        }
        let base_url = self.base_url.clone().unwrap_or_else(|| simulator.base_url());
        let text = match self.text {
            Some(text) => text(&base_url),
            None => configuration(&base_url, &self.domains, self.api, self.account),
        };
        let text = Arc::new(Mutex::new(text));
        let (interval, shard, adjust) = (self.interval, self.shard, self.adjust);
        let loads = Arc::new(AtomicUsize::new(0));
        let load = {
            let (text, loads) = (Arc::clone(&text), Arc::clone(&loads));
            move || {
                loads.fetch_add(1, Ordering::Relaxed);
                let text = text.lock().unwrap().clone();
                let mut config = load(&text, interval, shard)?;
                adjust(&mut config);
                Ok(config)
            }
        };
        let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let config = load().unwrap();
        let parts = Parts {
            listeners,
            telemetry_path: TelemetryPath::default(),
            trust: Trust::read(&config.api).unwrap(),
            web_file: None,
            limits: Limits::default(),
            clock: Clock::Manual(clock.clone()),
            shard,
            discovery: self.discovery,
            load_config: Arc::new(load),
        };
        let stop = CancellationToken::new();
        let app = tokio::runtime::Handle::current().spawn(app::run(config, parts, stop.clone()));
        Running {
            simulator,
            clock,
            address,
            text,
            loads,
            base_url,
            stop,
            app,
        }
    }
}

/// A configuration file with one account.
pub(crate) fn configuration(base_url: &str, domains: &[OwnedDomain], api: &str, account: &str) -> String {
    let mut text = format!(
        "api:\n  base_url: {base_url}\n  {api}\naccounts:\n  - username: {USERNAME}\n    secret_key: {SECRET_KEY}\n    \
         {account}\n    domains:\n"
    );
    for domain in domains {
        let name = &domain.name;
        if domain.live_only {
            writeln!(text, "      - name: {name}\n        endpoints: [bandwidth_flow]").unwrap();
        } else {
            writeln!(text, "      - {name}").unwrap();
        }
    }
    text
}

/// As the program loads it, except for the interval.
pub(crate) fn load(text: &str, interval: Duration, shard: Shard) -> Result<Config, Vec<String>> {
    let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut config = config::parse(text, "test.yaml", &Environment::default()).map_err(lines)?;
    config.poll.interval = interval;
    config::admit(&config, "test.yaml", shard).map_err(lines)?;
    Ok(config)
}

/// The exporter, its provider and the clock of both. Both end with the test.
pub(crate) struct Running {
    pub(crate) simulator: Simulator,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    /// The configuration that the next reload reads.
    pub(crate) text: Arc<Mutex<String>>,
    /// How often it was loaded.
    pub(crate) loads: Arc<AtomicUsize>,
    pub(crate) base_url: String,
    stop: CancellationToken,
    app: JoinHandle<Result<(), AppError>>,
}

impl Running {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        http::request(self.address, method, path, headers).await.unwrap()
    }

    /// Every sample of a scrape in the text format.
    pub(crate) async fn scrape(&self) -> Samples {
        let reply = self.get("/metrics").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        page::samples(reply.text())
    }

    /// The samples of a scrape that are about the domains.
    pub(crate) async fn gauges(&self) -> Samples {
        page::about_domains(&self.scrape().await)
    }

    /// Scrapes until the gauges are the expected ones, or tells how they differ.
    pub(crate) async fn until_gauges(&self, expected: &Samples) {
        let began = Instant::now();
        loop {
            let found = truth::differences(expected, &self.gauges().await);
            if found.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "at the end:\n{}", found.join("\n"));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Scrapes until the samples are as wanted.
    pub(crate) async fn until_samples(&self, what: &str, wanted: impl Fn(&Samples) -> bool) -> Samples {
        let began = Instant::now();
        loop {
            let samples = self.scrape().await;
            if wanted(&samples) {
                return samples;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited for {what}; at the end:\n{samples:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the provider's log of requests is as wanted.
    pub(crate) async fn until_requests(
        &self,
        what: &str,
        wanted: impl Fn(&[RequestRecord]) -> bool,
    ) -> Vec<RequestRecord> {
        let began = Instant::now();
        loop {
            let records = self.simulator.requests();
            if wanted(&records) {
                return records;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited for {what}; at the end:\n{records:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the provider was asked for so many pages of lists.
    pub(crate) async fn until_lists(&self, count: usize) {
        let began = Instant::now();
        loop {
            let found = self.simulator.list_requests().len();
            if found >= count {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{found} of {count} pages were asked for"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// With one domain: waits until a poll that began from now on has ended at each of its endpoints.
    pub(crate) async fn polled_anew(&self) {
        let before = self.scrape().await;
        let polls = Endpoint::ALL
            .map(|endpoint| [("endpoint", endpoint.name())])
            .map(|labels| truth::series("jdcloud_cdn_exporter_polls_total", &labels));
        // The first poll to end from now on may have begun before, its successor cannot have.
        self.until_samples("two more polls at both endpoints", |now| {
            polls.iter().all(|series| now[series] >= before[series] + 2.0)
        })
        .await;
    }

    /// What both endpoints must show of domains now, all of account [`USERNAME`] in decimal units.
    pub(crate) fn truth(&self, domains: &[&str]) -> Samples {
        let end = truth::newest_settled(self.clock.now().timestamp(), SETTLE);
        self.truth_of(domains, end)
    }

    /// The same for the window that ends at `end`.
    pub(crate) fn truth_of(&self, domains: &[&str], end: i64) -> Samples {
        let mut samples = Samples::new();
        for domain in domains {
            samples.extend(truth::bandwidth_flow(&self.simulator, domain, end, DECIMAL));
            samples.extend(truth::origin_ratio(&self.simulator, domain, end, DECIMAL));
            samples.extend(truth::domain_info(domain, USERNAME));
        }
        samples
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now() + TimeDelta::seconds(seconds));
    }

    /// Writes the configuration that the next reload reads.
    pub(crate) fn configure(&self, domains: &[&str]) {
        let domains: Vec<OwnedDomain> = Setup::of(domains).domains;
        *self.text.lock().unwrap() = configuration(
            &self.base_url,
            &domains,
            "max_requests_per_second: 1000",
            "units: decimal",
        );
    }

    /// Stops the exporter, which must end well.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.app).await;
        ended.expect("it ends").expect("without a panic").unwrap();
    }

    /// Waits until it ends by itself, and says why.
    pub(crate) async fn ended(self) -> AppError {
        let ended = tokio::time::timeout(PATIENCE, self.app).await;
        ended.expect("it ends").expect("without a panic").unwrap_err()
    }
}
