//! One poll of one batch: calls, retries, and the search for a domain that sinks the call.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Assignment, Upstream};
use crate::clock::Clock;
use crate::model::{Answer, Disposition, Domain, Endpoint, Failure, Reading, Reason, WindowRange};
use crate::observer::Observer;

/// How the reading of a batch ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For every domain of the batch, its readings or why there are none.
    pub readings: Vec<(Domain, Result<Vec<Reading>, Reason>)>,
    /// Domains that the provider refused when asked alone.
    pub offenders: Vec<Domain>,
    /// A batch size that the provider did take, after it called a longer list too long; `None` too
    /// if it refused a single domain in the same words, which has nothing to do with size.
    pub(super) fewer: Option<usize>,
    /// The last failure of a call whose domains got no readings.
    pub failure: Option<Failure>,
    /// The provider asked not to be asked before this.
    pub(super) not_before: Option<Instant>,
}

impl Outcome {
    /// The domains without readings, each with the reason.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&Domain, Reason)> {
        let readings = self.readings.iter();
        readings.filter_map(|(domain, result)| Some((domain, *result.as_ref().err()?)))
    }

    /// Notes the failure for each domain of a piece.
    fn give_up(&mut self, piece: Vec<Domain>, failure: Failure, divides: bool) {
        if let Disposition::Retry { after: Some(wait) } = failure.disposition {
            self.not_before = self.not_before.max(Some(Instant::now() + wait));
        }
        if divides && piece.len() == 1 {
            self.offenders.extend(piece.iter().cloned());
        }
        self.readings
            .extend(piece.into_iter().map(|domain| (domain, Err(failure.reason))));
        self.failure = Some(failure);
    }
}

/// What a poll needs.
pub(super) struct Job<U> {
    pub(super) endpoint: Endpoint,
    pub(super) assignment: Arc<Assignment<U>>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Clock,
    /// The number of the round, which makes the jitter of its retries its own.
    pub(super) round: u64,
    /// Whether a call that a domain sinks is divided.
    pub(super) search: Search,
    /// The windows to ask for; without it those of the assignment's window, up to the time of each call.
    pub(super) range: Option<WindowRange>,
}

/// What is done about a call that a domain sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// It is divided until the domain stands alone.
    Divide,
    /// Nothing: every domain of it is isolated already, and it is made only to see whether the
    /// provider has changed its mind about all of them.
    Whole,
}

/// Reads some of an assignment's domains once, for past windows, outside of any schedule: within the
/// account's limits, with the same retries and the same search for a domain that sinks the call. All of
/// it ends, or is not begun again, within the assignment's interval.
pub async fn read_range<U: Upstream>(
    endpoint: Endpoint,
    assignment: Arc<Assignment<U>>,
    domains: Vec<Domain>,
    range: WindowRange,
    observer: Arc<dyn Observer>,
    clock: Clock,
) -> Outcome {
    let job = Job {
        endpoint,
        assignment,
        observer,
        clock,
        round: u64::try_from(range.first.end_seconds()).unwrap_or(0),
        search: Search::Divide,
        range: Some(range),
    };
    job.read(domains).await
}

impl<U: Upstream> Job<U> {
    /// Reads a batch. A call that a domain sinks is divided until the domain stands alone; all of
    /// it ends before the batch is due again.
    pub(super) async fn read(&self, domains: Vec<Domain>) -> Outcome {
        let deadline = Instant::now() + self.assignment.interval;
        let mut outcome = Outcome::default();
        let mut too_long = false;
        let mut taken = 0;
        let mut pieces = vec![domains];
        while let Some(mut piece) = pieces.pop() {
            match self.read_piece(&piece, deadline).await {
                Ok(answer) => {
                    taken = taken.max(piece.len());
                    outcome
                        .readings
                        .extend(piece.into_iter().zip(answer.readings.into_iter().map(Ok)));
                }
                Err(failure) => {
                    let divides = matches!(failure.disposition, Disposition::Isolate | Disposition::Halve);
                    let divides = divides && self.search == Search::Divide;
                    if divides && piece.len() > 1 && Instant::now() < deadline {
                        too_long |= failure.disposition == Disposition::Halve;
                        let half = piece.split_off(piece.len().div_ceil(2));
                        pieces.extend([half, piece]);
                    } else {
                        outcome.give_up(piece, failure, divides);
                    }
                }
            }
        }
        outcome.fewer = (too_long && taken > 0 && outcome.offenders.is_empty()).then_some(taken);
        outcome
    }

    /// Makes one call, and makes it again while that can help.
    async fn read_piece(&self, domains: &[Domain], deadline: Instant) -> Result<Answer, Failure> {
        let Assignment {
            account,
            upstream,
            lane,
            window,
            ..
        } = &*self.assignment;
        let key = || {
            let first = domains.first().map_or("", Domain::as_str);
            format!("{account}/{}/{}/{first}", self.endpoint, self.round)
        };
        let call = |shift| {
            let range = self
                .range
                .unwrap_or_else(|| WindowRange::last(*window, self.clock.now()));
            upstream.read(self.endpoint, domains, range, shift)
        };
        let answer = lane
            .call(key, deadline, call, || {
                self.observer.request_retried(self.endpoint);
            })
            .await?;
        self.observer.succeeded(account, self.endpoint, self.clock.now());
        Ok(answer)
    }
}
