//! One cell of the matrix: a good start, faults, their end; every scrape held against the truth.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::plan;
use jdcloud_cdn_exporter::simulator::{Fault, Rule, Simulator, SimulatorOptions, Traffic};
use jdcloud_cdn_exporter::web::Limits;
use tokio::time::{Instant, sleep};

use crate::expect::{Expect, expect};
use crate::rig::{self, Exporter, Form, PATIENCE, SECRET_KEY, Scrape, USERNAME, VALUES, account};

/// Domains of every case; with batches of 2 they are two calls of `origin_ratio`.
const NAMES: [&str; 4] = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"];
const ORIGIN_RATIO_BATCH: usize = 2;
const SETTLE: TimeDelta = TimeDelta::minutes(10);
/// Between two looks at `/metrics`.
const LOOK: Duration = Duration::from_millis(60);

/// Whom the faults strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every call of the endpoint.
    Whole,
    /// Calls that ask for the first domain.
    OneDomain,
}

/// A cell of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) strikes: Vec<(Endpoint, Fault)>,
    pub(crate) scope: Scope,
    /// The instant at which it begins.
    pub(crate) start: DateTime<Utc>,
    /// What must be seen instead of what the table says.
    pub(crate) instead: Option<Expect>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let strikes = self
            .strikes
            .iter()
            .map(|(endpoint, fault)| format!("{fault} at {endpoint}"));
        format!("{} ({:?})", strikes.collect::<Vec<_>>().join(" and "), self.scope)
    }

    /// Runs it; the number of values that were held against the truth, or what went wrong.
    pub(crate) async fn run(&self) -> Result<usize, String> {
        let mut stage = Stage::begin(self.start).await;
        stage.wait("the start", Stage::all_well).await?;

        // Before anything strikes: a domain that is isolated at once is not counted again for minutes.
        let before = stage.look().await?;
        for (endpoint, fault) in &self.strikes {
            let rule = Rule::always(*fault);
            let rule = match self.scope {
                Scope::Whole => rule,
                Scope::OneDomain => rule.for_domain(&stage.domains[0]),
            };
            stage.simulator.faults().add(*endpoint, rule);
        }
        // Windows that nobody has asked for yet settle.
        stage.clock.set(self.start + TimeDelta::minutes(20));
        stage
            .wait("the faults' effect", |stage, scrape| {
                self.shows(stage, &before, scrape)
            })
            .await?;

        stage.simulator.faults().clear_all();
        let at_end = stage.look().await?;
        stage.clock.set(self.start + TimeDelta::minutes(25));
        let after = stage
            .wait("the recovery", |stage, scrape| {
                let isolated = self.isolates();
                stage.well(scrape, |domain, endpoint| {
                    !isolated.contains(&endpoint) || *domain != stage.domains[0]
                })
            })
            .await?;
        // What was under way when the faults ended may still fail; a poll that began later does not.
        for endpoint in Endpoint::ALL {
            let more = after.all_failures(endpoint) - at_end.all_failures(endpoint);
            let struck = self.strikes.iter().any(|(struck, _)| *struck == endpoint);
            let under_way = if struck { NAMES.len() } else { 0 };
            if more > f64::from(u32::try_from(under_way).unwrap()) {
                return Err(format!(
                    "{more} requests to {endpoint} failed after the faults' end"
                ));
            }
            if !struck && after.all_failures(endpoint) > 0.0 {
                return Err(format!("a request to {endpoint} failed, which no fault struck"));
            }
        }
        stage.end().await
    }

    /// The endpoints at which only the struck domain suffers, and is asked seldom from then on.
    fn isolates(&self) -> Vec<Endpoint> {
        let alone = self.scope == Scope::OneDomain;
        let isolated = |(endpoint, fault): &(Endpoint, Fault)| {
            (alone && matches!(expect(*fault), Expect::Isolated(_))).then_some(*endpoint)
        };
        self.strikes.iter().filter_map(isolated).collect()
    }

    /// Whether the scrape shows what the table says of every endpoint.
    fn shows(&self, stage: &Stage, before: &Scrape, scrape: &Scrape) -> Result<(), String> {
        for endpoint in Endpoint::ALL {
            let faults: Vec<Fault> = self
                .strikes
                .iter()
                .filter(|(at, _)| *at == endpoint)
                .map(|(_, fault)| *fault)
                .collect();
            let struck = stage.struck(endpoint, self.scope, &self.isolates());
            stage.well(scrape, |domain, at| {
                at == endpoint && (faults.is_empty() || !struck.contains(domain))
            })?;
            let outcomes: Vec<_> = faults
                .iter()
                .map(|fault| {
                    let expected = self.instead.unwrap_or_else(|| expect(*fault));
                    stage.shows(expected, endpoint, &struck, before, scrape)
                })
                .collect();
            // Of two faults at one endpoint it depends on both which one shows.
            if !outcomes.is_empty() && outcomes.iter().all(Result::is_err) {
                return outcomes.into_iter().next().unwrap();
            }
        }
        Ok(())
    }
}

/// A simulator, an exporter, and a clock for both.
struct Stage {
    start: DateTime<Utc>,
    clock: ManualClock,
    domains: Vec<Domain>,
    simulator: Simulator,
    exporter: Exporter,
    looks: u64,
    checked: usize,
}

impl Stage {
    async fn begin(start: DateTime<Utc>) -> Self {
        let clock = ManualClock::new(start);
        let domains: Vec<Domain> = NAMES.map(rig::domain).into();
        let simulator = Simulator::start(SimulatorOptions {
            accounts: vec![account(&domains)],
            traffic: Traffic::prompt(7),
            log_limit: 0,
            ..SimulatorOptions::new(Clock::Manual(clock.clone()))
        })
        .await
        .unwrap();
        let config = format!(
            "api:\n  base_url: {}\n  timeout: 5s\n  max_reply_bytes: 1MiB\n  max_requests_per_second: 100000\n\
             poll:\n  interval: 500ms\naccounts:\n  - username: {USERNAME}\n    secret_key: {SECRET_KEY}\n    \
             origin_ratio_batch: {ORIGIN_RATIO_BATCH}\n    domains: [{}]\n",
            simulator.base_url(),
            NAMES.join(", ")
        );
        let exporter = Exporter::start(&config, Clock::Manual(clock.clone()), Limits::default());
        Self {
            start,
            clock,
            domains,
            simulator,
            exporter,
            looks: 0,
            checked: 0,
        }
    }

    /// One scrape whose every value is true.
    async fn look(&mut self) -> Result<Scrape, String> {
        if !self.exporter.is_running() {
            return Err("the exporter has ended".to_owned());
        }
        let scrape = self.exporter.scrape(Form::nth(self.looks)).await?;
        self.looks += 1;
        self.checked += scrape.check(&self.domains, |domain, window| {
            vec![self.simulator.truth(domain, window)]
        })?;
        Ok(scrape)
    }

    /// Looks until a scrape shows what it should.
    async fn wait(
        &mut self,
        what: &str,
        shows: impl Fn(&Self, &Scrape) -> Result<(), String>,
    ) -> Result<Scrape, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let scrape = self.look().await?;
            match shows(self, &scrape) {
                Ok(()) => return Ok(scrape),
                Err(missing) if Instant::now() > until => {
                    return Err(format!("waited in vain for {what}: {missing}"));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// The newest window that may be shown.
    fn settled(&self) -> Window {
        Window::newest_ended(self.clock.now() - SETTLE)
    }

    fn all_well(&self, scrape: &Scrape) -> Result<(), String> {
        self.well(scrape, |_, _| true)
    }

    /// Whether the chosen domains and endpoints are up, with every field of the newest window.
    fn well(&self, scrape: &Scrape, chosen: impl Fn(&Domain, Endpoint) -> bool) -> Result<(), String> {
        for domain in &self.domains {
            for endpoint in Endpoint::ALL
                .into_iter()
                .filter(|endpoint| chosen(domain, *endpoint))
            {
                is_shown(scrape, domain, endpoint, true, self.settled(), None)?;
            }
        }
        Ok(())
    }

    /// The domains that suffer at an endpoint: all, or those of the struck domain's call.
    fn struck(&self, endpoint: Endpoint, scope: Scope, isolates: &[Endpoint]) -> Vec<Domain> {
        let batch = match endpoint {
            Endpoint::BandwidthFlow => 1,
            Endpoint::OriginRatio => ORIGIN_RATIO_BATCH,
        };
        match scope {
            Scope::Whole => self.domains.clone(),
            Scope::OneDomain if isolates.contains(&endpoint) => vec![self.domains[0].clone()],
            Scope::OneDomain => plan::batches(&self.domains, batch)
                .into_iter()
                .find(|batch| batch.contains(&self.domains[0]))
                .unwrap(),
        }
    }

    /// Whether the struck domains of an endpoint look as expected.
    fn shows(
        &self,
        expected: Expect,
        endpoint: Endpoint,
        struck: &[Domain],
        before: &Scrape,
        scrape: &Scrape,
    ) -> Result<(), String> {
        let new = self.settled();
        // The newest that was read before, which has settled by now.
        let old = Window::newest_ended(self.start);
        let field = match endpoint {
            Endpoint::BandwidthFlow => "jdcloud_cdn_flow_bytes",
            Endpoint::OriginRatio => "jdcloud_cdn_origin_ratio",
        };
        let (up, window, absent) = match expected {
            Expect::Good | Expect::Skew(_) | Expect::Counted(_) => (true, new, None),
            Expect::FieldAbsent(_) => (true, new, Some(field)),
            Expect::Nothing(_) | Expect::Fails(_) | Expect::Isolated(_) => (false, old, None),
        };
        for domain in struck {
            is_shown(scrape, domain, endpoint, up, window, absent)?;
        }
        let grown = |what: &str, count: fn(&Scrape, Endpoint, &str) -> f64| {
            if count(scrape, endpoint, what) > count(before, endpoint, what) {
                Ok(())
            } else {
                Err(format!("{what} is not counted at {endpoint}"))
            }
        };
        match expected {
            Expect::Counted(reject) | Expect::FieldAbsent(Some(reject)) | Expect::Nothing(Some(reject)) => {
                grown(reject, Scrape::rejects)
            }
            Expect::Fails(reason) | Expect::Isolated(reason) => grown(reason, Scrape::failures),
            Expect::Skew(seconds) => {
                let shown = scrape.own("provider_clock_skew_seconds", "");
                #[allow(clippy::as_conversions, clippy::cast_precision_loss, reason = "an hour")]
                let off = (shown - seconds as f64).abs();
                // The other endpoint's replies carry the right time: of two looks one may see it.
                (off < 2.0)
                    .then_some(())
                    .ok_or_else(|| format!("skew is {shown}"))
            }
            Expect::Good | Expect::FieldAbsent(None) | Expect::Nothing(None) => Ok(()),
        }
    }

    async fn end(self) -> Result<usize, String> {
        if self.simulator.stray_requests() > 0 {
            return Err("a redirect was followed".to_owned());
        }
        self.exporter.stop().await?;
        self.simulator.stop().await;
        Ok(self.checked)
    }
}

/// No endpoint is known before there is a connection, so refused ones strike both.
pub(crate) async fn refused_connections(start: DateTime<Utc>) -> Result<usize, String> {
    let mut stage = Stage::begin(start).await;
    stage.wait("the start", Stage::all_well).await?;
    stage.simulator.go_down().await;
    let before = stage.look().await?;
    stage.clock.set(start + TimeDelta::minutes(20));
    stage
        .wait("the outage", |stage, scrape| {
            Endpoint::ALL.into_iter().try_for_each(|endpoint| {
                stage.shows(
                    Expect::Fails("connect"),
                    endpoint,
                    &stage.domains,
                    &before,
                    scrape,
                )
            })
        })
        .await?;
    // Long enough for every value to be stale: it vanishes, `up` stays at 0.
    stage.clock.set(start + TimeDelta::minutes(41));
    stage
        .wait("the values to vanish", |stage, scrape| {
            let shown = scrape.check(&stage.domains, |_, _| Vec::new())?;
            let down = stage.domains.iter().all(|domain| {
                Endpoint::ALL
                    .iter()
                    .all(|at| scrape.up(domain, *at) == Some(false))
            });
            (shown == 0 && down)
                .then_some(())
                .ok_or_else(|| "not yet".to_owned())
        })
        .await?;
    stage
        .simulator
        .come_back()
        .await
        .map_err(|error| error.to_string())?;
    stage.wait("the recovery", Stage::all_well).await?;
    let missing = |endpoint: Endpoint| format!("{{endpoint=\"{endpoint}\"}}");
    stage
        .wait("missed windows to be filled", |_, scrape| {
            let missing: f64 = Endpoint::ALL
                .map(|at| scrape.own("windows_missing", &missing(at)))
                .iter()
                .sum();
            (missing < 0.5)
                .then_some(())
                .ok_or_else(|| format!("{missing} windows"))
        })
        .await?;
    stage.end().await
}

/// Whether a domain is up or not, with every field but one of a window.
fn is_shown(
    scrape: &Scrape,
    domain: &Domain,
    endpoint: Endpoint,
    up: bool,
    window: Window,
    absent: Option<&str>,
) -> Result<(), String> {
    let what = format!("{} at {endpoint}", domain.as_str());
    if scrape.up(domain, endpoint) != Some(up) {
        return Err(format!("{what} is not {}", if up { "up" } else { "down" }));
    }
    let shown = scrape.window(domain, endpoint);
    if shown != Some(window) {
        return Err(format!("{what} shows {shown:?}, not {window:?}"));
    }
    for (family, ..) in VALUES.iter().filter(|(_, at, _)| *at == endpoint) {
        if scrape.value(family, domain).is_some() == (absent == Some(family)) {
            return Err(format!("{what}: {family} is absent, or is not"));
        }
    }
    Ok(())
}
