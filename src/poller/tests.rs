use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use proptest::prelude::*;

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
            clock: Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap())),
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

/// Lets this much time pass, and everything that happens in it.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_round_comes_at_once_within_the_rate() {
    let stage = Stage::start(&Plan::new(5, 1), 10.0, Scripted::new(good));
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_millis(390)).await;
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_millis(30)).await;
    assert!(stage.progress.view().first_round_done);
    let starts: Vec<_> = stage
        .provider
        .take()
        .iter()
        .map(|call| call.at.as_millis())
        .collect();
    assert_eq!(starts, [0, 100, 200, 300, 400]);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn each_batch_keeps_its_place_in_the_interval() {
    let stage = Stage::start(&Plan::new(45, 20), FAST, Scripted::new(good));
    pass(MINUTE * 6).await;
    let mut starts: BTreeMap<Vec<Domain>, Vec<Duration>> = BTreeMap::new();
    for call in stage.provider.take() {
        starts.entry(call.domains).or_default().push(call.at);
    }
    assert_eq!(starts.len(), 3);
    for times in starts.values() {
        let at_places = &times[1..];
        assert!((5..=6).contains(&at_places.len()), "{times:?}");
        for pair in at_places.windows(2) {
            // tokio's timer counts in milliseconds, rounded up.
            assert!(
                since(pair[0], pair[1]).abs_diff(MINUTE) <= 2 * MOMENT,
                "{times:?}"
            );
        }
    }
    assert_eq!(*stage.seen.overruns.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_poll_does_not_overlap_itself_and_what_it_missed_is_counted() {
    // The scripted provider refuses overlap.
    let slow = |_: &Call| (Duration::from_secs(150), Ok(()));
    let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(slow));
    pass(Duration::from_secs(1_000)).await;
    let calls = stage.provider.take();
    for pair in calls.windows(2) {
        let between = since(pair[0].at, pair[1].at);
        assert!(
            between > Duration::from_secs(150) && between <= Duration::from_secs(210),
            "{between:?}"
        );
    }
    // Each poll ends 2.5 intervals after it was due.
    let ended = u64::try_from(calls.len()).unwrap() - 1;
    assert_eq!(*stage.seen.overruns.lock().unwrap(), ended * 2);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_within_the_poll() {
    let mut left = 2;
    let stage = Stage::start(
        &Plan::new(1, 1),
        FAST,
        Scripted::new(move |call| {
            if left == 0 {
                return good(call);
            }
            left -= 1;
            failure(Reason::Timeout, Disposition::Retry { after: None })
        }),
    );
    pass(Duration::from_secs(2)).await;
    assert_eq!(stage.provider.take().len(), 3);
    assert_eq!(*stage.seen.retries.lock().unwrap(), 2);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_not_tried_again() {
    for disposition in [Disposition::Stop, Disposition::Isolate, Disposition::Halve] {
        let refuse = move |_: &Call| failure(Reason::BadRequest, disposition);
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(refuse));
        // Up to the end of the first interval there is one more place, and two in the next.
        pass(MINUTE * 3).await;
        let calls = stage.provider.take().len();
        assert!((3..=4).contains(&calls), "{calls} calls after {disposition:?}");
        assert_eq!(*stage.seen.retries.lock().unwrap(), 0);
        assert_eq!(stage.progress.view().failing, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_to_wait_is_waited() {
    for (asked, least, most) in [
        // Within the poll: by a retry.
        (20, Duration::from_secs(20), Duration::from_millis(20_501)),
        // Beyond it: by the next poll, at the batch's place.
        (300, Duration::from_secs(300), Duration::from_secs(361)),
    ] {
        let mut first = true;
        let answering = move |call: &Call| {
            if std::mem::take(&mut first) {
                failure(
                    Reason::Throttled,
                    Disposition::Retry {
                        after: Some(Duration::from_secs(asked)),
                    },
                )
            } else {
                good(call)
            }
        };
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(answering));
        pass(Duration::from_secs(400)).await;
        let calls = stage.provider.take();
        let waited = since(calls[0].at, calls[1].at);
        assert!(
            waited >= least && waited <= most,
            "{asked} s asked, {waited:?} waited"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_answered_with_a_flood() {
    let down = |_: &Call| failure(Reason::Connect, Disposition::Retry { after: None });
    let stage = Stage::start(&Plan::new(100, 1), FAST, Scripted::new(down));
    pass(MINUTE * 10).await;
    let calls = stage.provider.take().len();
    let retries = usize::try_from(*stage.seen.retries.lock().unwrap()).unwrap();
    // Ten in reserve, and a fifth of the first attempts.
    let firsts = calls - retries;
    assert!((900..=1_100).contains(&firsts), "{firsts}");
    assert!(
        retries > 100 && retries <= firsts / 5 + 10,
        "{retries} retries of {firsts} calls"
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttle_halves_the_rate_for_a_while() {
    let mut first = true;
    let stage = Stage::start(
        &Plan::new(1, 1),
        8.0,
        Scripted::new(move |call| {
            if std::mem::take(&mut first) {
                failure(Reason::Throttled, Disposition::Retry { after: None })
            } else {
                good(call)
            }
        }),
    );
    pass(MOMENT).await;
    let rate = || *stage.seen.rate.lock().unwrap();
    assert!((rate() - 4.0).abs() < 0.1, "{}", rate());
    pass(MINUTE * 3).await;
    assert!((4.5..7.5).contains(&rate()), "{}", rate());
    pass(MINUTE * 4).await;
    assert!((rate() - 8.0).abs() < 1e-9, "{}", rate());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_domain_is_found_isolated_and_taken_back() {
    let plan = Plan::new(20, 20);
    let bad = plan.domains[7].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad.clone()])));
    pass(MOMENT * 100).await;
    let calls = stage.provider.take();
    // Both halves at each of five levels, and the whole.
    assert!(calls.len() <= 11, "{} calls", calls.len());
    assert_eq!(stage.down(), std::slice::from_ref(&bad));
    assert_eq!(stage.last_polls()[&bad], LastPoll::Failed(Reason::ForeignDomain));

    // The steady state: one call a minute without it, one call for it in ten minutes.
    pass(MINUTE * 60).await;
    let (probes, batches): (Vec<_>, Vec<_>) = stage
        .provider
        .take()
        .into_iter()
        .partition(|call| call.asks_for(&bad));
    assert!(probes.iter().all(|call| call.domains.len() == 1));
    assert!((5..=6).contains(&probes.len()), "{} probes", probes.len());
    for pair in probes.windows(2) {
        assert!(since(pair[0].at, pair[1].at) >= MINUTE * 10);
    }
    assert!((59..=61).contains(&batches.len()), "{} batches", batches.len());
    assert_eq!(stage.down(), std::slice::from_ref(&bad));

    stage.provider.now_answers(good);
    pass(MINUTE * 12).await;
    stage.provider.take();
    assert_eq!(stage.down(), []);
    assert_eq!(stage.progress.view().failing, 0);
    pass(MINUTE * 30).await;
    let calls = stage.provider.take();
    assert!(
        calls.iter().all(|call| call.domains.len() == 20),
        "it is in its batch again, and not probed"
    );
}

#[tokio::test(start_paused = true)]
async fn several_foreign_domains_are_all_found_in_one_poll() {
    let plan = Plan::new(20, 20);
    let bad: Vec<Domain> = [0, 9, 19].map(|place| plan.domains[place].clone()).into();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(bad.clone())));
    pass(MOMENT * 100).await;
    assert!(stage.provider.take().len() <= 31);
    let mut sorted = bad;
    sorted.sort();
    assert_eq!(stage.down(), sorted);
    pass(MINUTE * 9).await;
    let calls = stage.provider.take();
    assert!((8..=10).contains(&calls.len()), "{} calls", calls.len());
    assert!(calls.iter().all(|call| call.domains.len() == 17));
}

#[tokio::test(start_paused = true)]
async fn when_all_are_refused_one_call_a_poll_sees_the_end_of_it() {
    for count in [20, 1] {
        let plan = Plan::new(count, 20);
        let stage = Stage::start(&plan, FAST, Scripted::new(foreign(plan.domains.clone())));
        pass(MOMENT * 100).await;
        assert_eq!(stage.provider.take().len(), 2 * count - 1);
        pass(MINUTE * 8).await;
        let calls = stage.provider.take();
        assert!((7..=9).contains(&calls.len()), "{} calls", calls.len());
        assert!(calls.iter().all(|call| call.domains.len() == count));
        assert_eq!(stage.down().len(), count);

        stage.provider.now_answers(good);
        pass(MINUTE).await;
        assert_eq!(stage.down(), []);
        pass(MINUTE * 30).await;
        assert!(
            stage
                .provider
                .take()
                .iter()
                .all(|call| call.domains.len() == count),
            "no probes are left"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_domain_that_is_a_batch_of_its_own_is_asked_every_ten_minutes() {
    let plan = Plan::new(3, 1);
    let bad = plan.domains[1].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad.clone()])));
    pass(MINUTE * 2).await;
    stage.provider.take();
    pass(MINUTE * 60).await;
    let calls = stage.provider.take();
    let probes = calls.iter().filter(|call| call.asks_for(&bad)).count();
    assert!((5..=6).contains(&probes), "{probes} probes");
    assert!(
        (118..=122).contains(&(calls.len() - probes)),
        "{} calls",
        calls.len()
    );

    // All refused, and back: one is asked at every poll, and when it works the others are too.
    for outage in [MINUTE * 2, MINUTE * 15, MINUTE * 3] {
        stage.provider.now_answers(foreign(plan.domains.clone()));
        pass(outage).await;
        assert_eq!(stage.down().len(), 3);
        stage.provider.now_answers(good);
        pass(MINUTE * 2).await;
        assert_eq!(stage.down(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_halved_and_the_size_sticks() {
    let mut plan = Plan::new(40, 20);
    let stage = Stage::start(&plan, FAST, Scripted::new(at_most(7)));
    pass(MOMENT * 100).await;
    assert_eq!(stage.down(), []);
    pass(MINUTE * 2).await;
    stage.provider.take();
    plan.interval = MINUTE / 2;
    for _ in 0..2 {
        pass(MINUTE * 4).await;
        let calls = stage.provider.take();
        assert!(
            calls.iter().all(|call| call.domains.len() <= 5),
            "nothing is refused any more"
        );
        let asked: usize = calls.iter().map(|call| call.domains.len()).sum();
        let domains: BTreeSet<_> = calls.iter().flat_map(|call| &call.domains).collect();
        assert_eq!(domains.len(), 40);
        assert_eq!(asked % 5, 0);
        // A reload that changes something else does not forget it.
        stage.reassign(&plan);
    }
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn a_size_is_learned_only_from_a_smaller_call_that_works() {
    let plan = Plan::new(20, 20);
    let stage = Stage::start(&plan, FAST, Scripted::new(at_most(0)));
    pass(MINUTE * 3).await;
    assert_eq!(stage.down().len(), 20);
    stage.provider.now_answers(good);
    pass(MINUTE).await;
    assert_eq!(stage.down(), []);
    stage.provider.take();
    pass(MINUTE * 5).await;
    assert!(stage.provider.take().iter().all(|call| call.domains.len() == 20));
}

#[tokio::test(start_paused = true)]
async fn near_midnight_one_more_call_is_signed_with_the_other_date() {
    for other_works in [true, false] {
        let refuse = move |call: &Call| match call.shift {
            DateShift::Yesterday if other_works => good(call),
            DateShift::Today => failure(Reason::Signature, Disposition::SignAgain(DateShift::Yesterday)),
            _ => failure(Reason::Signature, Disposition::Stop),
        };
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(refuse));
        pass(MOMENT * 100).await;
        let shifts: Vec<_> = stage.provider.take().iter().map(|call| call.shift).collect();
        assert_eq!(shifts, [DateShift::Today, DateShift::Yesterday]);
        assert_eq!(stage.down().is_empty(), other_works);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_restarts_nothing_that_stays() {
    let mut plan = Plan::new(3, 1);
    let slow = plan.domains[0].clone();
    let answering = {
        let slow = slow.clone();
        move |call: &Call| {
            if call.asks_for(&slow) {
                (Duration::from_secs(90), Ok(()))
            } else {
                good(call)
            }
        }
    };
    let stage = Stage::start(&plan, FAST, Scripted::new(answering));
    pass(MINUTE).await;
    stage.provider.take();
    let places = |calls: &[Call], domain: &Domain| -> Vec<u128> {
        let of_domain = calls.iter().filter(|call| call.asks_for(domain));
        of_domain
            .map(|call| call.at.as_millis() % MINUTE.as_millis())
            .collect()
    };
    pass(MINUTE).await;
    let before = places(&stage.provider.take(), &plan.domains[1]);

    // One leaves, one comes, one is under way, one stays.
    let removed = plan.domains.remove(2);
    let added = names(7..8)[0].clone();
    plan.domains.push(added.clone());
    stage.reassign(&plan);
    pass(MOMENT).await;
    let asked: Vec<_> = stage
        .provider
        .take()
        .into_iter()
        .flat_map(|call| call.domains)
        .collect();
    assert_eq!(
        asked,
        std::slice::from_ref(&added),
        "the new one at once, nothing else"
    );
    pass(MINUTE * 3).await;
    let calls = stage.provider.take();
    assert!(!calls.iter().any(|call| call.asks_for(&removed)));
    let after = places(&calls, &plan.domains[1]);
    assert!(
        after.iter().all(|place| place.abs_diff(before[0]) <= 2),
        "{before:?} {after:?}"
    );
    assert_eq!(after.len(), 3);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn what_left_the_configuration_fails_no_more() {
    let mut plan = Plan::new(3, 1);
    let bad = plan.domains[0].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad])));
    pass(MINUTE).await;
    assert_eq!(stage.progress.view().failing, 1);
    plan.domains.remove(0);
    stage.reassign(&plan);
    pass(MOMENT).await;
    assert_eq!(stage.progress.view().failing, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_another_source_is_discarded() {
    let mut plan = Plan::new(1, 1);
    let stage = Stage::start(&plan, FAST, Scripted::new(|_| (Duration::from_secs(30), Ok(()))));
    pass(Duration::from_secs(1)).await;
    plan.source = 2;
    stage.reassign(&plan);
    pass(Duration::from_secs(31)).await;
    assert_eq!(stage.last_polls()[&plan.domains[0]], LastPoll::Never);
    // The new source is asked as soon as the old call has ended.
    pass(Duration::from_secs(30)).await;
    assert_eq!(stage.down(), []);
    plan.source = 3;
    stage.reassign(&plan);
    pass(Duration::from_secs(31)).await;
    assert_eq!(stage.down(), [], "or at once if none was under way");
}

#[tokio::test(start_paused = true)]
async fn a_reload_during_the_first_round_does_not_end_it() {
    let mut plan = Plan::new(10, 2);
    let stage = Stage::start(&plan, 1.0, Scripted::new(good));
    pass(Duration::from_millis(1_500)).await;
    // Every batch becomes another one.
    plan.batch = 3;
    stage.reassign(&plan);
    pass(MOMENT).await;
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_secs(20)).await;
    assert!(stage.progress.view().first_round_done);
    assert_eq!(stage.down(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever polls take: the next one is at the first place of the batch after the end of the
    /// last, so none is left out and none comes twice.
    #[test]
    fn no_place_is_skipped_or_used_twice(millis in proptest::collection::vec(0_u64..200_000, 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let ends = Arc::new(Mutex::new(Vec::new()));
            let durations = millis.clone();
            let answering = {
                let ends = Arc::clone(&ends);
                move |call: &Call| {
                    let mut ends = ends.lock().unwrap();
                    let took = Duration::from_millis(durations[ends.len() % durations.len()]);
                    ends.push(call.at + took);
                    (took, Ok(()))
                }
            };
            let plan = Plan::new(1, 1);
            let stage = Stage::start(&plan, FAST, Scripted::new(answering));
            pass(MINUTE * 60).await;
            let calls = stage.provider.take();
            let place = Duration::from_nanos(u64::try_from(
                (MINUTE.as_nanos() * u128::from(plan.domains[0].stable_hash())) >> 64,
            ).unwrap());
            for (call, end) in calls.iter().skip(1).zip(ends.lock().unwrap().iter()) {
                let since_place = since(place, call.at + MINUTE).as_millis() % MINUTE.as_millis();
                assert!(since_place <= 3 || since_place >= MINUTE.as_millis() - 1, "{since_place} ms off its place");
                assert!(call.at + 3 * MOMENT > *end && call.at <= *end + MINUTE + 3 * MOMENT);
            }
        });
    }
}
