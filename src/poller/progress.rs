//! What is known of a poller from outside: whether its first round is over, when it last
//! succeeded, what fails; and the log lines about it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::UnitId;
use super::read::Outcome;
use crate::model::{AccountName, Domain, Endpoint, Failure, Reason};

/// A failure of the same reason is logged again after this time, with how often it came meanwhile.
const LOG_AGAIN: Duration = Duration::from_secs(300);

/// The state of one poller, written by it and read by the status page.
#[derive(Debug)]
pub struct Progress {
    account: AccountName,
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    view: ProgressView,
    failing: HashSet<UnitId>,
    /// Those of them that miss more than domains which the provider refuses: their end is worth a line.
    troubled: HashSet<UnitId>,
    logged: [Option<Instant>; Reason::ALL.len()],
    unlogged: [u64; Reason::ALL.len()],
}

/// A copy of the state.
#[derive(Clone, Debug, Default)]
pub struct ProgressView {
    /// Every domain that was known by then has been asked for once, whatever the outcome. Those that are discovered
    /// later begin no other first round.
    pub first_round_done: bool,
    /// When a poll last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// The last failure, and when it was.
    pub last_failure: Option<(DateTime<Utc>, Failure)>,
    /// How many batches failed in their last poll.
    pub failing: usize,
    /// How many polls failed since the start, in the order of [`Reason::ALL`].
    pub failures: [u64; Reason::ALL.len()],
    /// When the next poll is due; `None` while all of them are under way.
    pub next_due: Option<Instant>,
}

impl Progress {
    /// Of a poller that has done nothing yet.
    #[must_use]
    pub fn new(account: AccountName, endpoint: Endpoint) -> Self {
        Self {
            account,
            endpoint,
            state: Mutex::default(),
        }
    }

    /// Whose poller.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// Which endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The state now.
    #[must_use]
    pub fn view(&self) -> ProgressView {
        let state = self.lock();
        ProgressView {
            failing: state.failing.len(),
            ..state.view.clone()
        }
    }

    pub(super) fn first_round_done(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.view.first_round_done, true) {
            tracing::info!(account = %self.account, endpoint = %self.endpoint, "first round finished: every domain known by now has been asked for");
        }
    }

    pub(super) fn next_due(&self, due: Option<Instant>) {
        self.lock().view.next_due = due;
    }

    /// A poll has ended; `isolated` were refused before it, and `outcome` may add to them.
    pub(super) fn ended(
        &self,
        unit: UnitId,
        outcome: &Outcome,
        isolated: &HashSet<Domain>,
        now: DateTime<Utc>,
    ) {
        let mut state = self.lock();
        if outcome.readings.iter().any(|(_, result)| result.is_ok()) {
            state.view.last_success = Some(now);
        }
        let refused = |domain: &Domain| isolated.contains(domain) || outcome.offenders.contains(domain);
        let was_troubled = state.troubled.remove(&unit);
        if let Some(failure) = &outcome.failure {
            state.failing.insert(unit);
            if !outcome.failed().all(|(domain, _)| refused(domain)) {
                state.troubled.insert(unit);
            }
            if let Some(count) = state.view.failures.get_mut(place_of(failure.reason)) {
                *count += 1;
            }
            self.log(&mut state, failure, outcome);
            state.view.last_failure = Some((now, failure.clone()));
        } else {
            state.failing.remove(&unit);
        }
        if was_troubled && state.troubled.is_empty() {
            self.log_recovery(outcome, isolated);
            state.logged = Default::default();
        }
    }

    /// Forgets the units that are polled no more.
    pub(super) fn retain(&self, stays: impl Fn(UnitId) -> bool) {
        let mut state = self.lock();
        state.failing.retain(|unit| stays(*unit));
        state.troubled.retain(|unit| stays(*unit));
    }

    fn log(&self, state: &mut State, failure: &Failure, outcome: &Outcome) {
        let place = place_of(failure.reason);
        let (Some(logged), Some(unlogged)) = (state.logged.get_mut(place), state.unlogged.get_mut(place))
        else {
            return;
        };
        if logged.is_some_and(|at| at.elapsed() < LOG_AGAIN) {
            *unlogged += 1;
            return;
        }
        let mut failed = outcome
            .failed()
            .filter(|(_, reason)| *reason == failure.reason)
            .map(|(domain, _)| domain);
        // Fields that are `None` are left out.
        tracing::warn!(account = %self.account, endpoint = %self.endpoint,
            domain = failed.next().map(Domain::as_str), more_domains = unless_zero(failed.count()),
            reason = %failure.reason, unlogged = unless_zero(*unlogged), "poll failed: {failure}");
        *logged = Some(Instant::now());
        *unlogged = 0;
    }

    /// Says what is true: refused domains are not read again because others are.
    fn log_recovery(&self, outcome: &Outcome, isolated: &HashSet<Domain>) {
        let readmitted = |domain: &Domain| {
            let mut readings = outcome.readings.iter();
            readings.any(|(other, result)| other == domain && result.is_ok())
        };
        let mut refused: Vec<&Domain> = outcome.offenders.iter().chain(isolated).collect();
        refused.retain(|domain| !readmitted(domain));
        refused.sort_unstable();
        refused.dedup();
        let (account, endpoint) = (&self.account, self.endpoint);
        if let Some(first) = refused.first() {
            tracing::info!(%account, %endpoint, domain = first.as_str(), more_domains = unless_zero(refused.len() - 1),
                "polls succeed again, except for what the provider refuses");
        } else {
            tracing::info!(%account, %endpoint, "all polls succeed again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is worth a field.
fn unless_zero<N: Default + PartialEq>(count: N) -> Option<N> {
    (count != N::default()).then_some(count)
}

/// The place of a reason in [`Reason::ALL`].
fn place_of(reason: Reason) -> usize {
    Reason::ALL
        .iter()
        .position(|other| *other == reason)
        .unwrap_or_default()
}
