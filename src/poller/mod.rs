//! Polls one account at one endpoint: takes what is due from the schedule, has it read, reports it.
//!
//! One task for each account and endpoint. It never waits for a reply itself: reads run beside it,
//! at most as many as the account may have under way, and come back to it when they end.

mod lane;
mod progress;
mod read;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::{
    AccountName, Answer, DateShift, Domain, Endpoint, Failure, Reading, Reason, WindowRange, stable_hash,
};
use crate::observer::Observer;
use crate::plan::{Schedule, batches};
use crate::store::{Report, Store};

pub use lane::Lane;
pub use progress::{Progress, ProgressView};
use read::{Job, Search};
pub use read::{Outcome, read_range};

/// An isolated domain is asked alone no more often than this.
const PROBE_EVERY: Duration = Duration::from_secs(600);

/// Where readings come from. The poller owns this trait; the application plugs the provider in.
pub trait Upstream: Clone + Send + Sync + 'static {
    /// Makes one call for the windows of a range.
    fn read(
        &self,
        endpoint: Endpoint,
        domains: &[Domain],
        range: WindowRange,
        shift: DateShift,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// What a poller has to do. Another one takes effect at once and restarts nothing that stays.
#[derive(Debug)]
pub struct Assignment<U> {
    /// Whose domains.
    pub account: AccountName,
    /// Readings of another source (units, zone, user) are not comparable: what was asked of the
    /// old source is discarded when it comes in.
    pub source: u64,
    /// The domains, each once.
    pub domains: Vec<Domain>,
    /// Most domains in one call.
    pub batch: usize,
    /// From one poll of a domain to the next.
    pub interval: Duration,
    /// How far back every poll reads.
    pub window: TimeDelta,
    /// Where readings come from.
    pub upstream: U,
    /// The limits that the account's pollers share.
    pub lane: Arc<Lane>,
}

/// What a poller works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where readings go.
    pub store: Arc<Store>,
    /// Who is told of events.
    pub observer: Arc<dyn Observer>,
    /// The wall clock.
    pub clock: Clock,
}

/// Polls until cancelled, or until nobody can assign anything any more.
pub async fn run<U: Upstream>(
    endpoint: Endpoint,
    mut assignments: watch::Receiver<Arc<Assignment<U>>>,
    surroundings: Surroundings,
    progress: Arc<Progress>,
    cancelled: CancellationToken,
) {
    let assignment = Arc::clone(&assignments.borrow_and_update());
    let mut poller = Poller::new(endpoint, assignment, surroundings, progress);
    // Setting a timer wakes the runtime, so it is only set when another instant is meant.
    let mut timer = pin!(tokio::time::sleep_until(poller.origin));
    loop {
        poller.start_due();
        poller.note_next_due();
        let wake = poller.wake_at();
        if let Some(wake) = wake.filter(|wake| timer.deadline() != *wake || timer.is_elapsed()) {
            timer.as_mut().reset(wake);
        }
        tokio::select! {
            () = cancelled.cancelled() => return,
            changed = assignments.changed() => match changed {
                Ok(()) => {
                    let assignment = Arc::clone(&assignments.borrow_and_update());
                    poller.reassign(assignment);
                }
                Err(_) => return,
            },
            Some(finished) = poller.under_way.join_next() => match finished {
                Ok(finished) => poller.finish(finished),
                // A panic in a read is a defect that must not pass for a silent poller.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            },
            () = timer.as_mut(), if wake.is_some() => {}
        }
    }
}

/// Names a unit of the schedule.
type UnitId = u64;

/// What is polled at once.
#[derive(Debug)]
enum Unit {
    /// Domains that are asked for together; isolated ones keep their place but are left out, unless
    /// all of them are isolated: then all of them are asked for in one call, as seldom as a probe or,
    /// while every domain of the account is isolated, in its place: the provider may be wrong and not
    /// the domains, and then they are back as soon as it works.
    Batch(Vec<Domain>),
    /// An isolated domain, asked alone; one that is a batch of its own needs none.
    Probe(Domain),
}

/// A read that has ended.
struct Finished {
    unit: UnitId,
    due: Duration,
    source: u64,
    started: Instant,
    outcome: Outcome,
}

struct Poller<U> {
    endpoint: Endpoint,
    assignment: Arc<Assignment<U>>,
    surroundings: Surroundings,
    progress: Arc<Progress>,
    origin: Instant,
    schedule: Schedule<UnitId>,
    units: HashMap<UnitId, Unit>,
    next_unit: UnitId,
    /// Units of the first round that have not ended yet.
    first_round: HashSet<UnitId>,
    isolated: HashSet<Domain>,
    /// Lowered when the provider says that a list is too long.
    batch: usize,
    under_way: JoinSet<Finished>,
}

impl<U: Upstream> Poller<U> {
    fn new(
        endpoint: Endpoint,
        assignment: Arc<Assignment<U>>,
        surroundings: Surroundings,
        progress: Arc<Progress>,
    ) -> Self {
        let mut poller = Self {
            endpoint,
            surroundings,
            progress,
            origin: Instant::now(),
            schedule: Schedule::new(assignment.interval),
            units: HashMap::new(),
            next_unit: 0,
            first_round: HashSet::new(),
            isolated: HashSet::new(),
            batch: assignment.batch,
            under_way: JoinSet::new(),
            assignment,
        };
        poller.arrange();
        poller.first_round = poller.units.keys().copied().collect();
        poller.note_first_round();
        poller
    }

    fn reassign(&mut self, assignment: Arc<Assignment<U>>) {
        let before = std::mem::replace(&mut self.assignment, assignment);
        let other_source = before.source != self.assignment.source;
        if other_source || before.batch != self.assignment.batch {
            self.batch = self.assignment.batch;
        }
        if other_source {
            // Nothing is known of the domains any more.
            self.isolated.clear();
            let now = self.elapsed();
            let waiting: Vec<_> = self.schedule.drain().collect();
            for (id, _) in waiting {
                self.schedule.push(id, now);
            }
        }
        self.arrange();
        self.note_first_round();
    }

    /// Brings the units in line with the assignment: a batch of the same domains keeps its due
    /// time, whether it is waiting or under way; one with a new domain is due at once.
    fn arrange(&mut self) {
        let now = self.elapsed();
        let due: HashMap<_, _> = self.schedule.drain().collect();
        let other_interval = self.schedule.interval() != self.assignment.interval;
        if other_interval {
            self.schedule = Schedule::new(self.assignment.interval);
        }
        let mut batches_before = HashMap::new();
        let mut probes_before = HashMap::new();
        for (id, unit) in self.units.drain() {
            match unit {
                Unit::Batch(domains) => batches_before.insert(domains, id),
                Unit::Probe(domain) => probes_before.insert(domain, id),
            };
        }
        let known: HashSet<Domain> = batches_before
            .iter()
            .filter(|(_, id)| !self.first_round.contains(*id))
            .flat_map(|(domains, _)| domains.iter().cloned())
            .collect();
        let in_first_round = !self.first_round.is_empty();
        for domains in batches(&self.assignment.domains, self.batch) {
            let kept = batches_before.remove(&domains);
            let is_new = domains.iter().any(|domain| !known.contains(domain));
            let place = self.schedule.next_place(hash_of(&domains), now);
            let id = kept.unwrap_or_else(|| self.new_id());
            match kept.map(|id| due.get(&id)) {
                // Under way: it comes back by itself.
                Some(None) => {}
                Some(Some(due)) if other_interval => self.schedule.push(id, (*due).min(place)),
                Some(Some(due)) => self.schedule.push(id, *due),
                None if is_new => {
                    self.schedule.push(id, now);
                    if in_first_round {
                        self.first_round.insert(id);
                    }
                }
                None => self.schedule.push(id, place),
            }
            self.units.insert(id, Unit::Batch(domains));
        }
        let assigned: HashSet<&Domain> = self.assignment.domains.iter().collect();
        self.isolated.retain(|domain| assigned.contains(domain));
        for (domain, id) in probes_before {
            if self.isolated.contains(&domain) {
                if let Some(due) = due.get(&id) {
                    self.schedule.push(id, *due);
                }
                self.units.insert(id, Unit::Probe(domain));
            }
        }
        self.probe_isolated();
        self.first_round.retain(|id| self.units.contains_key(id));
        self.progress.retain(|id| self.units.contains_key(&id));
    }

    /// Makes a probe for every isolated domain that has none, unless it is a batch of its own.
    fn probe_isolated(&mut self) {
        let probed: HashSet<&Domain> = self
            .units
            .values()
            .filter_map(|unit| match unit {
                Unit::Probe(domain) => Some(domain),
                Unit::Batch(_) => None,
            })
            .collect();
        let unprobed: Vec<Domain> = self
            .units
            .values()
            .filter_map(|unit| match unit {
                Unit::Batch(domains) if domains.len() > 1 => Some(domains),
                _ => None,
            })
            .flatten()
            .filter(|domain| self.isolated.contains(*domain) && !probed.contains(*domain))
            .cloned()
            .collect();
        for domain in unprobed {
            let id = self.new_id();
            self.units.insert(id, Unit::Probe(domain));
            self.schedule.push(id, self.next_probe(self.elapsed()));
        }
    }

    /// The provider was wrong about one domain, so it may have been about all: each is asked again at
    /// its own place in the interval instead of minutes later.
    fn ask_isolated_again(&mut self) {
        let now = self.elapsed();
        let waiting: Vec<_> = self.schedule.drain().collect();
        for (id, due) in waiting {
            let hash = match self.units.get(&id) {
                Some(Unit::Batch(domains)) => hash_of(domains),
                Some(Unit::Probe(domain)) => domain.stable_hash(),
                None => continue,
            };
            let place = self.schedule.next_place(hash, now);
            self.schedule.push(id, due.min(place));
        }
    }

    fn all_isolated(&self) -> bool {
        self.isolated.len() == self.assignment.domains.len()
    }

    fn next_probe(&self, after: Duration) -> Duration {
        after + PROBE_EVERY.max(self.assignment.interval)
    }

    /// Starts every unit that is due, as far as the account may have reads under way.
    fn start_due(&mut self) {
        while self.under_way.len() < self.assignment.lane.concurrency() {
            let Some((id, due)) = self.schedule.pop_due(self.elapsed()) else {
                return;
            };
            match self.units.get(&id) {
                Some(Unit::Batch(domains)) => {
                    let (isolated, others): (Vec<Domain>, Vec<Domain>) = domains
                        .iter()
                        .cloned()
                        .partition(|domain| self.isolated.contains(domain));
                    if others.is_empty() {
                        self.start(id, due, isolated, Search::Whole);
                    } else {
                        self.start(id, due, others, Search::Divide);
                    }
                }
                Some(Unit::Probe(domain)) if self.isolated.contains(domain) => {
                    let domain = domain.clone();
                    self.start(id, due, vec![domain], Search::Divide);
                }
                // It was readmitted since.
                Some(Unit::Probe(_)) => self.remove(id),
                None => {}
            }
        }
    }

    fn remove(&mut self, id: UnitId) {
        self.units.remove(&id);
        self.progress.retain(|other| other != id);
    }

    fn start(&mut self, unit: UnitId, due: Duration, domains: Vec<Domain>, search: Search) {
        let job = Job {
            endpoint: self.endpoint,
            assignment: Arc::clone(&self.assignment),
            observer: Arc::clone(&self.surroundings.observer),
            clock: self.surroundings.clock.clone(),
            round: due.as_secs() / self.assignment.interval.as_secs().max(1),
            search,
            range: None,
        };
        self.under_way.spawn(async move {
            let started = Instant::now();
            let source = job.assignment.source;
            let outcome = job.read(domains).await;
            Finished {
                unit,
                due,
                source,
                started,
                outcome,
            }
        });
    }

    fn finish(&mut self, finished: Finished) {
        let Finished {
            unit,
            due,
            source,
            started,
            outcome,
        } = finished;
        let observer = Arc::clone(&self.surroundings.observer);
        observer.poll_finished(self.endpoint, started.elapsed());
        let of_this_source = source == self.assignment.source;
        if of_this_source {
            self.report(&outcome.readings);
            let now = self.surroundings.clock.now();
            self.progress.ended(unit, &outcome, &self.isolated, now);
            self.rearrange_after(&outcome);
        }
        let now = self.elapsed();
        let missed = self.schedule.missed(due, now);
        if missed > 0 {
            observer.polls_overrun(self.endpoint, missed);
        }
        let after = outcome
            .not_before
            .map_or(now, |instant| now.max(self.since_origin(instant)));
        match self.units.get(&unit) {
            // What came in is of no use: the new source is asked for the first time.
            Some(Unit::Batch(_)) if !of_this_source => self.schedule.push(unit, now),
            // Others are answered for, so it is not the provider that is wrong: ask seldom.
            Some(Unit::Batch(domains))
                if domains.iter().all(|domain| self.isolated.contains(domain)) && !self.all_isolated() =>
            {
                self.schedule.push(unit, self.next_probe(after));
            }
            Some(Unit::Batch(domains)) => {
                let place = self.schedule.next_place(hash_of(domains), after);
                self.schedule.push(unit, place);
            }
            Some(Unit::Probe(domain)) if self.isolated.contains(domain) => {
                self.schedule.push(unit, self.next_probe(after));
            }
            Some(Unit::Probe(_)) => self.remove(unit),
            None => {}
        }
        // A unit that was asked of the old source alone is still to have its first poll.
        if (of_this_source || !self.units.contains_key(&unit)) && self.first_round.remove(&unit) {
            self.note_first_round();
        }
    }

    /// Isolates the domains that sank their calls, readmits those that work again, and learns
    /// how many domains the provider takes at once.
    fn rearrange_after(&mut self, outcome: &Outcome) {
        let account = self.assignment.account.clone();
        let endpoint = self.endpoint;
        let none_was_left = self.all_isolated();
        let mut isolated_more = false;
        for (domain, result) in &outcome.readings {
            let sinks = outcome.offenders.contains(domain);
            if sinks && self.assignment.domains.contains(domain) && self.isolated.insert(domain.clone()) {
                isolated_more = true;
                tracing::warn!(%account, %endpoint, %domain, reason = %Reason::ForeignDomain,
                    "the provider refuses this domain; the others are read without it from now on, and it \
                     is tried again: remove it, or this endpoint of it, from the configuration");
            } else if result.is_ok() && self.isolated.remove(domain) {
                tracing::info!(%account, %endpoint, %domain, "the provider answers for this domain again");
            }
        }
        // It looks at every unit, which a poll that changed nothing must not cost.
        if isolated_more {
            self.probe_isolated();
        }
        if none_was_left && !self.all_isolated() {
            self.ask_isolated_again();
        }
        if let Some(limit) = outcome.fewer.filter(|limit| *limit < self.batch) {
            tracing::warn!(%account, %endpoint, batch = limit,
                "the provider takes fewer domains in one call than configured; set the account's batch size");
            self.batch = limit.max(1);
            self.arrange();
        }
    }

    fn report(&self, readings: &[(Domain, Result<Vec<Reading>, Reason>)]) {
        let reports = readings.iter().map(|(domain, result)| Report {
            domain,
            endpoint: self.endpoint,
            source: self.assignment.source,
            outcome: result.as_deref().map_err(|reason| *reason),
        });
        let now = self.surroundings.clock.now();
        self.surroundings
            .store
            .report(now, reports, &*self.surroundings.observer);
    }

    fn note_first_round(&self) {
        if self.first_round.is_empty() {
            self.progress.first_round_done();
        }
    }

    fn note_next_due(&self) {
        let due = self.schedule.next_due();
        self.progress.next_due(due.map(|due| self.origin + due));
    }

    /// When to look again; a full account wakes when a read ends.
    fn wake_at(&self) -> Option<Instant> {
        let has_room = self.under_way.len() < self.assignment.lane.concurrency();
        self.schedule
            .next_look()
            .filter(|_| has_room)
            .map(|look| self.origin + look)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    fn since_origin(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.origin)
    }

    fn new_id(&mut self) -> UnitId {
        self.next_unit += 1;
        self.next_unit
    }
}

/// The place of a batch in the interval is that of its first domain.
fn hash_of(domains: &[Domain]) -> u64 {
    domains
        .first()
        .map_or_else(|| stable_hash(b""), Domain::stable_hash)
}

#[cfg(test)]
mod tests;
