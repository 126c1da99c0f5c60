//! Hours of polling in milliseconds: the stage, which is a poller with a provider in memory and a paused
//! clock. What is played on it has a room for each question.

mod isolation;
mod log;
mod reload;
mod retry;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::model::{Disposition, Field, LastPoll, Rejects, Values, VisibilityRule};
use crate::store::RosterEntry;

const HERE: Endpoint = Endpoint::BandwidthFlow;
const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);
/// So fast that the rate plays no part.
const FAST: f64 = 100_000.0;

/// What the scripted provider was asked.
#[derive(Clone, Debug)]
struct Call {
    at: Duration,
    domains: Vec<Domain>,
    shift: DateShift,
}

impl Call {
    fn asks_for(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }
}

/// How it answers: after how long, and whether with a reading of every domain.
type Reply = (Duration, Result<(), Failure>);

type Answering = dyn FnMut(&Call) -> Reply + Send;

/// A provider in memory.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    origin: Instant,
    calls: Mutex<Vec<Call>>,
    answering: Mutex<Box<Answering>>,
    under_way: Mutex<HashSet<Domain>>,
}

impl Scripted {
    fn new(answering: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        Self(Arc::new(Script {
            origin: Instant::now(),
            calls: Mutex::default(),
            answering: Mutex::new(Box::new(answering)),
            under_way: Mutex::default(),
        }))
    }

    fn now_answers(&self, answering: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.0.answering.lock().unwrap() = Box::new(answering);
    }

    /// The calls since the last look.
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }
}

impl Upstream for Scripted {
    async fn read(
        &self,
        _: Endpoint,
        domains: &[Domain],
        range: WindowRange,
        shift: DateShift,
    ) -> Result<Answer, Failure> {
        let call = Call {
            at: self.0.origin.elapsed(),
            domains: domains.to_vec(),
            shift,
        };
        let (after, outcome) = (self.0.answering.lock().unwrap())(&call);
        self.0.calls.lock().unwrap().push(call);
        for domain in domains {
            let alone = self.0.under_way.lock().unwrap().insert(domain.clone());
            assert!(alone, "{domain:?} is asked for while it is asked for");
        }
        tokio::time::sleep(after).await;
        let mut under_way = self.0.under_way.lock().unwrap();
        under_way.retain(|domain| !domains.contains(domain));
        outcome.map(|()| Answer {
            readings: domains
                .iter()
                .map(|_| {
                    vec![Reading {
                        window: range.last,
                        values: Values::NONE.with(Field::Bandwidth, 1.0),
                    }]
                })
                .collect(),
            rejects: Rejects::default(),
        })
    }
}

fn good(_: &Call) -> Reply {
    (Duration::ZERO, Ok(()))
}

fn failure(reason: Reason, disposition: Disposition) -> Reply {
    let message = "scripted".to_owned();
    let failure = Failure {
        reason,
        disposition,
        message,
    };
    (Duration::ZERO, Err(failure))
}

/// Refuses every call for one of these, as status 15 does.
fn foreign(bad: Vec<Domain>) -> impl FnMut(&Call) -> Reply + Send {
    move |call| {
        if bad.iter().any(|domain| call.asks_for(domain)) {
            failure(Reason::ForeignDomain, Disposition::Isolate)
        } else {
            good(call)
        }
    }
}

/// Refuses every call for more domains than this, as status 22 does.
fn at_most(limit: usize) -> impl FnMut(&Call) -> Reply + Send {
    move |call| {
        if call.domains.len() > limit {
            failure(Reason::ForeignDomain, Disposition::Halve)
        } else {
            good(call)
        }
    }
}

/// Counts what the poller tells.
#[derive(Default)]
struct Seen {
    retries: Mutex<u64>,
    overruns: Mutex<u64>,
    rate: Mutex<f64>,
}

impl Observer for Seen {
    fn request_retried(&self, _: Endpoint) {
        *self.retries.lock().unwrap() += 1;
    }
    fn polls_overrun(&self, _: Endpoint, missed: u64) {
        *self.overruns.lock().unwrap() += missed;
    }
    fn request_rate(&self, _: &AccountName, per_second: f64) {
        *self.rate.lock().unwrap() = per_second;
    }
}

/// What a test assigns.
#[derive(Clone)]
struct Plan {
    domains: Vec<Domain>,
    batch: usize,
    source: u64,
    interval: Duration,
}

impl Plan {
    fn new(count: usize, batch: usize) -> Self {
        Self {
            domains: names(0..count),
            batch,
            source: 1,
            interval: MINUTE,
        }
    }
}

fn names(numbers: std::ops::Range<usize>) -> Vec<Domain> {
    numbers
        .map(|i| Domain::parse(&format!("d{i}.example.com")).unwrap())
        .collect()
}

/// A poller under way, in a time that passes only while everything waits.
struct Stage {
    provider: Scripted,
    seen: Arc<Seen>,
    store: Arc<Store>,
    lane: Arc<Lane>,
    progress: Arc<Progress>,
    assignments: watch::Sender<Arc<Assignment<Scripted>>>,
    _running: JoinSet<()>,
}

fn rule() -> VisibilityRule {
    VisibilityRule {
        settle: TimeDelta::minutes(10),
        stale_after: TimeDelta::minutes(40),
        horizon: TimeDelta::hours(1),
    }
}

fn clock() -> Clock {
    Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()))
}

fn account() -> AccountName {
    AccountName::new("main")
}

fn assignment(plan: &Plan, provider: &Scripted, lane: &Arc<Lane>) -> Arc<Assignment<Scripted>> {
    Arc::new(Assignment {
        account: account(),
        source: plan.source,
        domains: plan.domains.clone(),
        batch: plan.batch,
        interval: plan.interval,
        window: TimeDelta::hours(1),
        upstream: provider.clone(),
        lane: Arc::clone(lane),
    })
}

fn roster(plan: &Plan) -> Vec<RosterEntry> {
    let entry = |domain: &Domain| RosterEntry {
        domain: domain.clone(),
        account: account(),
        endpoints: vec![HERE],
        source: plan.source,
    };
    plan.domains.iter().map(entry).collect()
}

impl Stage {
    fn start(plan: &Plan, per_second: f64, provider: Scripted) -> Self {
        let seen = Arc::new(Seen::default());
        let observer: Arc<dyn Observer> = Arc::<Seen>::clone(&seen);
        let store = Arc::new(Store::new(rule(), &roster(plan)));
        let lane = Arc::new(Lane::new(account(), 8, per_second, Arc::clone(&observer)));
        let progress = Arc::new(Progress::new(account(), HERE));
        let (assignments, receiver) = watch::channel(assignment(plan, &provider, &lane));
        let surroundings = Surroundings {
            store: Arc::clone(&store),
            observer: Arc::clone(&observer),
            clock: clock(),
        };
        let mut running = JoinSet::new();
        running.spawn(run(
            HERE,
            receiver,
            surroundings,
            Arc::clone(&progress),
            CancellationToken::new(),
        ));
        Self {
            provider,
            seen,
            store,
            lane,
            progress,
            assignments,
            _running: running,
        }
    }

    fn reassign(&self, plan: &Plan) {
        self.store.reconfigure(rule(), &roster(plan));
        self.assignments
            .send_replace(assignment(plan, &self.provider, &self.lane));
    }

    /// How the last poll of each domain ended.
    fn last_polls(&self) -> BTreeMap<Domain, LastPoll> {
        let snapshot = self.store.snapshot();
        let last =
            |entry: &Arc<crate::model::Entry>| (entry.domain.clone(), entry.track(HERE).unwrap().last_poll);
        snapshot.entries.iter().map(last).collect()
    }

    /// The domains whose last poll did not give a reading.
    fn down(&self) -> Vec<Domain> {
        let usable = |last: &LastPoll| *last == LastPoll::Usable;
        let down = self.last_polls().into_iter().filter(|(_, last)| !usable(last));
        down.map(|(domain, _)| domain).collect()
    }
}

/// From an earlier instant to a later one.
fn since(earlier: Duration, later: Duration) -> Duration {
    later.checked_sub(earlier).unwrap()
}

/// Lets this much time of the paused clock pass, and everything that happens in it: no real time is waited.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
