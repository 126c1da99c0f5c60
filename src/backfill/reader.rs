//! Makes the calls of a backfill: each account's beside each other within its limits, and again what
//! failed for the moment.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::request::Call;
use crate::clock::Clock;
use crate::config::{Account, Api, Config};
use crate::model::{Domain, Endpoint, Reading, Reason, Rejects};
use crate::observer::Observer;
use crate::poller::{Assignment, Lane, Outcome, read_range};
use crate::provider::{Client, ClientError, Connections, Trust};

/// A call with its retries, and with what the provider asks it to wait, is given up after this. Nobody
/// waits for a fresh value here, so it is longer than a poll may take.
const CALL: Duration = Duration::from_secs(600);

/// Reads calls, and remembers what the provider will not answer.
pub(super) struct Reader {
    /// By account, then by endpoint.
    assignments: Vec<[Arc<Assignment<Client>>; Endpoint::ALL.len()]>,
    clock: Clock,
    tally: Arc<Tally>,
    refused: RefCell<Refused>,
}

/// What is not asked for any more.
#[derive(Default)]
struct Refused {
    /// Accounts whose credentials are wrong.
    accounts: HashSet<usize>,
    /// Histories of domains that an endpoint does not know.
    histories: HashSet<usize>,
    /// What the log has been told of.
    told: HashSet<(usize, Endpoint, Reason)>,
}

/// What came of one call.
pub(super) struct Done {
    /// The call.
    pub(super) call: Call,
    /// What was read, by the place of the history.
    pub(super) readings: Vec<(usize, Vec<Reading>)>,
    /// The part that may succeed later.
    pub(super) again: Option<Call>,
}

impl Reader {
    pub(super) fn new(config: &Config, trust: &Trust, clock: Clock) -> Result<Self, ClientError> {
        let tally = Arc::new(Tally::default());
        let api = Arc::new(config.api.clone());
        let connections = Connections::new(&api, trust)?;
        let assignments = config
            .accounts
            .iter()
            .map(|account| assignments(account, &api, &connections, &clock, &tally))
            .collect();
        Ok(Self {
            assignments,
            clock,
            tally,
            refused: RefCell::default(),
        })
    }

    /// What happened on the way.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Makes calls, in any order, at most as many at once as each account allows.
    pub(super) fn read(&self, calls: Vec<Call>) -> impl stream::Stream<Item = Done> + Unpin + '_ {
        let mut by_account: BTreeMap<usize, Vec<Call>> = BTreeMap::new();
        for call in calls {
            by_account.entry(call.account).or_default().push(call);
        }
        let accounts = by_account
            .into_iter()
            .filter_map(|(account, calls)| self.account(account, calls));
        stream::select_all(accounts)
    }

    fn account(&self, account: usize, calls: Vec<Call>) -> Option<LocalBoxStream<'_, Done>> {
        let assignments = self.assignments.get(account)?;
        let concurrency = assignments.first()?.lane.concurrency();
        let reading = stream::iter(calls).map(move |call| async move {
            let assignment = assignments.get(call.endpoint.index()).map(Arc::clone);
            let domains = self.askable(&call);
            let outcome = match assignment {
                Some(assignment) if !domains.is_empty() => {
                    let observer = Arc::<Tally>::clone(&self.tally);
                    read_range(
                        call.endpoint,
                        assignment,
                        domains,
                        call.range,
                        observer,
                        self.clock.clone(),
                    )
                    .await
                }
                _ => Outcome::default(),
            };
            self.judge(call, outcome)
        });
        Some(reading.buffer_unordered(concurrency).boxed_local())
    }

    /// The domains of a call that the provider has not refused yet.
    fn askable(&self, call: &Call) -> Vec<Domain> {
        let refused = self.refused.borrow();
        if refused.accounts.contains(&call.account) {
            return Vec::new();
        }
        call.domains
            .iter()
            .filter(|(_, history)| !refused.histories.contains(history))
            .map(|(domain, _)| domain.clone())
            .collect()
    }

    /// Divides an outcome into what was read, what may be read later, and what is refused.
    fn judge(&self, call: Call, outcome: Outcome) -> Done {
        let places: BTreeMap<&Domain, usize> = call
            .domains
            .iter()
            .map(|(domain, history)| (domain, *history))
            .collect();
        let place = |domain: &Domain| places.get(domain).copied();
        self.tell(&call, &outcome);
        let mut refused = self.refused.borrow_mut();
        refused
            .histories
            .extend(outcome.offenders.iter().filter_map(place));
        let mut readings = Vec::new();
        let mut again = Vec::new();
        for (domain, result) in outcome.readings {
            let Some(history) = place(&domain) else { continue };
            match result {
                Ok(read) => readings.push((history, read)),
                Err(Reason::Signature | Reason::UnknownUser) => {
                    refused.accounts.insert(call.account);
                }
                Err(Reason::ForeignDomain | Reason::BadRequest | Reason::TooLarge) => {}
                Err(_) => again.push((domain, history)),
            }
        }
        let again = (!again.is_empty()).then(|| Call {
            domains: again,
            ..call.clone()
        });
        Done {
            call,
            readings,
            again,
        }
    }

    /// Tells the log of the first failure of its kind; the others look the same.
    fn tell(&self, call: &Call, outcome: &Outcome) {
        let Some(failure) = &outcome.failure else { return };
        let kind = (call.account, call.endpoint, failure.reason);
        if !self.refused.borrow_mut().told.insert(kind) {
            return;
        }
        let account = self
            .assignments
            .get(call.account)
            .and_then(|assignments| assignments.first())
            .map_or("", |assignment| assignment.account.as_str());
        let failed = outcome.readings.iter().find(|(_, result)| result.is_err());
        let domain = failed.map_or("", |(domain, _)| domain.as_str());
        tracing::warn!(account, endpoint = %call.endpoint, domain, reason = %failure.reason,
            start = %call.range.first.end(), end = %call.range.last.end(),
            "a call failed, further ones for this reason are not told of: {failure}");
    }
}

/// What the account's calls are made with, for each endpoint.
fn assignments(
    account: &Account,
    api: &Arc<Api>,
    connections: &Connections,
    clock: &Clock,
    tally: &Arc<Tally>,
) -> [Arc<Assignment<Client>>; Endpoint::ALL.len()] {
    let observer = || -> Arc<dyn Observer> { Arc::<Tally>::clone(tally) };
    let client = Client::new(
        connections.clone(),
        Arc::clone(api),
        account,
        clock.clone(),
        observer(),
    );
    let lane = Arc::new(Lane::new(
        account.name.clone(),
        api.max_concurrency,
        api.max_requests_per_second,
        observer(),
    ));
    Endpoint::ALL.map(|endpoint| {
        Arc::new(Assignment {
            account: account.name.clone(),
            source: 0,
            domains: Vec::new(),
            batch: account.batch(endpoint),
            interval: CALL,
            window: TimeDelta::zero(),
            upstream: client.clone(),
            lane: Arc::clone(&lane),
        })
    })
}

/// Counts what the summary tells of the way.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: AtomicU64,
    retries: AtomicU64,
    rejects: AtomicU64,
}

impl Tally {
    /// Requests that were made.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those of them that repeated another.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Parts of replies that were refused.
    pub(super) fn rejects(&self) -> u64 {
        self.rejects.load(Ordering::Relaxed)
    }
}

impl Observer for Tally {
    fn request_finished(&self, _: Endpoint, _: Duration, _: Option<Reason>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn request_retried(&self, _: Endpoint) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    fn rejected(&self, _: Endpoint, rejects: Rejects) {
        self.rejects.fetch_add(rejects.total(), Ordering::Relaxed);
    }
}
