//! What the actors share: a simulator, an exporter, a clock, and what is true.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::simulator::{Effect, Script, Simulator, SimulatorOptions, Traffic, Truth};
use jdcloud_cdn_exporter::web::Limits;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::rig::{self, Exporter, Form, PATIENCE, SECRET_KEY, Scrape, USERNAME, account};

const DOMAINS: usize = 12;
/// A revised window shows this part of its final figures at first.
const PRELIMINARY: f64 = 0.5;
/// Until this age in seconds, which is after it settled.
const REVISED_AT: u32 = 1_100;
pub(crate) const SETTLE: TimeDelta = TimeDelta::minutes(10);
pub(crate) const STALE_AFTER: TimeDelta = TimeDelta::minutes(40);
/// The simulated time that one step of the clock takes …
pub(crate) const STEP: TimeDelta = TimeDelta::seconds(30);
/// … and the real time between two steps.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// What happened, for the totals.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) scrapes: AtomicU64,
    pub(crate) values: AtomicU64,
    pub(crate) preliminary: AtomicU64,
    pub(crate) health: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) outages: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) refused_reloads: AtomicU64,
    pub(crate) rude: AtomicU64,
    pub(crate) clock_jumps: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) clock: ManualClock,
    /// The latest instant that the clock ever showed.
    pub(crate) latest: Mutex<DateTime<Utc>>,
    pub(crate) domains: Vec<Domain>,
    pub(crate) simulator: Simulator,
    pub(crate) exporter: Exporter,
    pub(crate) counted: Counts,
    revised: Vec<Script>,
}

impl World {
    pub(crate) async fn begin(seed: u64, seconds: u64) -> Self {
        let start: DateTime<Utc> = "2026-11-22T04:02:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        let domains: Vec<Domain> = (0..DOMAINS)
            .map(|i| rig::domain(&format!("d{i}.example.com")))
            .collect();
        let traffic = Traffic {
            scripts: revisions(seed, seconds, start, &domains),
            ..Traffic::prompt(seed)
        };
        let revised = traffic.scripts.clone();
        let simulator = Simulator::start(SimulatorOptions {
            accounts: vec![account(&domains)],
            traffic,
            log_limit: 0,
            ..SimulatorOptions::new(Clock::Manual(clock.clone()))
        })
        .await
        .unwrap();
        let text = config(&simulator.base_url(), &domains, 250);
        let exporter = Exporter::start(&text, Clock::Manual(clock.clone()), Limits::default());
        Self {
            seed,
            clock,
            latest: Mutex::new(start),
            domains,
            simulator,
            exporter,
            counted: Counts::default(),
            revised,
        }
    }

    pub(crate) fn dice(&self, actor: u64) -> Dice {
        Dice::new(self.seed, actor)
    }

    pub(crate) fn config(&self, domains: &[Domain], interval_ms: u64) -> String {
        config(&self.simulator.base_url(), domains, interval_ms)
    }

    /// What the provider may have said of a window: its final figures, or the preliminary ones.
    pub(crate) fn given(&self, domain: &Domain, window: Window) -> Vec<Truth> {
        let truth = self.simulator.truth(domain, window);
        let revised = self
            .revised
            .iter()
            .any(|script| script.domain == *domain && script.first == window);
        if revised {
            vec![truth, truth.scaled(PRELIMINARY)]
        } else {
            vec![truth]
        }
    }

    /// Ends every fault and has every domain asked for anew.
    pub(crate) async fn calm_down(&self) {
        self.simulator.faults().clear_all();
        let give_up = Instant::now() + PATIENCE;
        while let Err(error) = self.simulator.come_back().await {
            assert!(
                Instant::now() < give_up,
                "the simulator's port cannot be had again: {error}"
            );
            sleep(TICK).await;
        }
        // A domain that was refused is tried again after ten minutes, or when it is listed anew.
        for domains in [&self.domains[..1], &self.domains[1..], &self.domains] {
            self.exporter.set_config(&self.config(domains, 250));
            assert_eq!(self.exporter.reload().await, 200);
        }
        // Every preliminary figure becomes final.
        let calm = self.clock.now().max(*self.latest.lock().unwrap()) + TimeDelta::minutes(45);
        self.clock.set(calm);
    }

    /// Waits until every domain is up with the final figures of the newest settled window.
    pub(crate) async fn all_well(&self) -> Result<(), String> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let scrape = self.exporter.scrape(Form::default()).await?;
            match self.is_well(&scrape) {
                Ok(()) => return Ok(()),
                Err(missing) if Instant::now() > give_up => return Err(missing),
                Err(_) => sleep(TICK).await,
            }
        }
    }

    fn is_well(&self, scrape: &Scrape) -> Result<(), String> {
        let settled = Window::newest_ended(self.clock.now() - SETTLE);
        for domain in &self.domains {
            for endpoint in Endpoint::ALL {
                let window = scrape.window(domain, endpoint);
                if scrape.up(domain, endpoint) != Some(true) || window != Some(settled) {
                    return Err(format!(
                        "{domain:?} at {endpoint} shows {window:?}, not {settled:?}"
                    ));
                }
            }
        }
        let age = self.clock.now() - settled.end();
        if age > TimeDelta::seconds(i64::from(REVISED_AT)) {
            scrape.check(&self.domains, |domain, window| {
                vec![self.simulator.truth(domain, window)]
            })?;
        }
        Ok(())
    }

    pub(crate) fn counts(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counted;
        let calls: u64 = Endpoint::ALL
            .into_iter()
            .map(|at| self.simulator.request_count(at))
            .sum();
        format!(
            "{} scrapes and {} health checks, all 200; {} values, none wrong, {} of them preliminary; {calls} calls, {} faults, \
             {} outages, {} clock jumps, {} reloads, {} refused reloads, {} rude clients",
            of(&c.scrapes),
            of(&c.health),
            of(&c.values),
            of(&c.preliminary),
            of(&c.faults),
            of(&c.outages),
            of(&c.clock_jumps),
            of(&c.reloads),
            of(&c.refused_reloads),
            of(&c.rude)
        )
    }

    pub(crate) async fn end(self) {
        self.exporter.stop().await.unwrap();
        self.simulator.stop().await;
    }
}

fn config(base_url: &str, domains: &[Domain], interval_ms: u64) -> String {
    let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
    format!(
        "api:\n  base_url: {base_url}\n  timeout: 700ms\n  max_reply_bytes: 1MiB\n  max_requests_per_second: 1000\n\
         poll:\n  interval: {interval_ms}ms\naccounts:\n  - username: {USERNAME}\n    secret_key: {SECRET_KEY}\n    \
         origin_ratio_batch: 5\n    domains: [{}]\n",
        names.join(", ")
    )
}

/// One window in four is revised after it settled.
fn revisions(seed: u64, seconds: u64, start: DateTime<Utc>, domains: &[Domain]) -> Vec<Script> {
    let mut dice = Dice::new(seed, 100);
    // Jumps of the clock go further than its steps; the windows after the last have no revision.
    let windows = u32::try_from(seconds * 3 + 60).unwrap();
    let first = Window::newest_ended(start).minus(12);
    let mut scripts = Vec::new();
    for domain in domains {
        for window in (0..windows).map(|i| first.plus(i)) {
            if dice.one_in(4) {
                scripts.push(Script {
                    domain: domain.clone(),
                    first: window,
                    last: window,
                    effect: Effect::Preliminary {
                        factor: PRELIMINARY,
                        until_age: REVISED_AT,
                    },
                });
            }
        }
    }
    scripts
}

/// What the process takes.
pub(crate) struct Footprint {
    resident_kib: u64,
    descriptors: usize,
    tasks: usize,
}

impl Footprint {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }

    /// Descriptors and tasks as at the start, but for what the pool of connections may hold; memory
    /// as at a third of the run, but for what the allocator keeps.
    pub(crate) fn is_within(&self, before: &Self, warm: &Self) -> bool {
        self.descriptors <= before.descriptors + 40
            && self.tasks <= before.tasks + 40
            && self.resident_kib <= warm.resident_kib.max(before.resident_kib) + 64 * 1_024
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} MiB resident, {} descriptors, {} tasks",
            self.resident_kib / 1_024,
            self.descriptors,
            self.tasks
        )
    }
}
