//! Asks the provider which domains an account has, again and again, and hands the whole list on.
//!
//! One task for each account that discovers, beside its pollers and within the same limits. A list is
//! taken over as a whole or not at all: `paging` (pure) judges whether it is whole, whoever takes it
//! whether it is not too long.

mod attempt;
mod paging;
mod progress;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{counted, show};
use crate::model::{
    AccountName, DateShift, DiscoveryReason, Disposition, DomainList, Failure, ListPage, ListPageWanted,
    stable_hash,
};
use crate::observer::Observer;
use crate::poller::Lane;
use crate::telemetry::waited;

pub use attempt::may_be_its_size;
pub use paging::{PAGE_SIZE, SMALL_PAGE_SIZE};
pub use progress::{Progress, ProgressView};

/// Where pages come from. This room owns the trait; the application plugs the provider in.
pub trait Catalogue: Clone + Send + Sync + 'static {
    /// Makes one call.
    fn page(
        &self,
        wanted: ListPageWanted,
        shift: DateShift,
    ) -> impl Future<Output = Result<ListPage, Failure>> + Send;
}

/// Who wants the lists.
pub trait Taker: Send + Sync + 'static {
    /// Takes over the list of an account, read from a source, or says why not.
    fn take(
        &self,
        account: &AccountName,
        source: u64,
        list: Arc<DomainList>,
    ) -> impl Future<Output = Result<Taken, Unlisted>> + Send;
}

/// What became of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in use.
    Over,
    /// Nobody wants it any more: the account has another source by now, or none.
    Stale,
}

/// What a discovery has to do. Another one takes effect at once.
#[derive(Debug)]
pub struct Assignment<C> {
    /// Whose domains.
    pub account: AccountName,
    /// Another source (user, address) has another list: an attempt at the old one is given up.
    pub source: u64,
    /// Grows with every reload, which is how an operator asks for the list at once.
    pub reload: u64,
    /// The most domains; a list that is much longer is not read to its end.
    pub max_domains: usize,
    /// Where pages come from.
    pub catalogue: C,
    /// The limits that everything of the account shares.
    pub lane: Arc<Lane>,
}

/// For how many regular intervals every attempt must have brought a list without domains before it takes
/// the place of one that has some: an account that loses all of them at once is rarer than a provider
/// that answers wrongly, and domains that are gone cost only calls. With the alert after half an hour,
/// an operator has as long again.
const EMPTY_FOR: u32 = 6;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one good list to the next attempt, and the longest pause after a failure.
    pub every: Duration,
    /// The pause after the first failure; each failure that follows doubles it.
    pub after_failure: Duration,
}

impl Default for Pace {
    /// Every 10 minutes; after a failure 10 s, 20 s and so on.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(600),
            after_failure: Duration::from_secs(10),
        }
    }
}

impl Pace {
    /// The pause after so many failures in a row. It is shortened by up to a quarter, by a hash, so that
    /// accounts that failed together do not ask together.
    fn pause(&self, failures: u32, account: &AccountName) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return self.every;
        };
        let pause = self
            .after_failure
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.every);
        let hash = stable_hash(format!("{account}\n{failures}").as_bytes());
        let share = u32::try_from(hash >> 32).unwrap_or(0);
        let left_out = (pause / 4).mul_f64(f64::from(share) / f64::from(u32::MAX));
        pause.saturating_sub(left_out)
    }
}

/// Why there is no new list. `Display` is one line with a remedy and without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlisted {
    /// A page could not be read.
    #[error("{0}")]
    Call(Failure),
    /// What came does not add up, twice.
    #[error("{0}")]
    Incomplete(String),
    /// It has no domains, while some of the last good one are selected.
    #[error("{0}")]
    Empty(String),
    /// More domains than the account may have.
    #[error("{0}")]
    TooMany(String),
}

impl Unlisted {
    /// For the `reason` label.
    #[must_use]
    pub fn reason(&self) -> DiscoveryReason {
        match self {
            Self::Call(failure) => DiscoveryReason::Call(failure.reason),
            Self::Incomplete(_) => DiscoveryReason::Incomplete,
            Self::Empty(_) => DiscoveryReason::Empty,
            Self::TooMany(_) => DiscoveryReason::TooManyDomains,
        }
    }

    /// How long the provider asked to be left alone.
    fn not_before(&self) -> Duration {
        match self {
            Self::Call(Failure {
                disposition: Disposition::Retry { after: Some(wait) },
                ..
            }) => *wait,
            _ => Duration::ZERO,
        }
    }
}

/// Reads the whole list once, outside of any schedule.
///
/// # Errors
/// Why there is none.
pub async fn once<C: Catalogue>(assignment: &Assignment<C>) -> Result<DomainList, Unlisted> {
    attempt::attempt(assignment, None).await
}

/// What a discovery works with.
pub struct Surroundings<T> {
    /// Who wants the lists.
    pub taker: T,
    /// Who is told of events.
    pub observer: Arc<dyn Observer>,
    /// The wall clock.
    pub clock: Clock,
    /// How often.
    pub pace: Pace,
}

/// Reads the list again and again until cancelled, or until nobody can assign anything any more.
pub async fn run<C: Catalogue, T: Taker>(
    assignments: watch::Receiver<Arc<Assignment<C>>>,
    surroundings: Surroundings<T>,
    progress: Arc<Progress>,
    cancelled: CancellationToken,
) {
    let discovery = Discovery {
        assignments,
        surroundings,
        progress,
        failures: 0,
        known: None,
        empty_since: None,
        told: (0, Vec::new()),
    };
    // Nothing of it is half done when it is dropped: a list is taken over in one step.
    let _cancelled = cancelled.run_until_cancelled(discovery.run()).await;
}

struct Discovery<C, T> {
    assignments: watch::Receiver<Arc<Assignment<C>>>,
    surroundings: Surroundings<T>,
    progress: Arc<Progress>,
    /// In a row.
    failures: u32,
    /// The last good list, and its source.
    known: Option<(u64, Arc<DomainList>)>,
    /// Since when every attempt has brought a list without domains that was not taken over.
    empty_since: Option<Instant>,
    /// What the log has been told of names that are passed over.
    told: (usize, Vec<String>),
}

impl<C: Catalogue, T: Taker> Discovery<C, T> {
    async fn run(mut self) {
        loop {
            self.progress.next_attempt(None);
            let assignment = Arc::clone(&self.assignments.borrow_and_update());
            let outcome = tokio::select! {
                outcome = self.attempt(&assignment) => outcome,
                found = another_source(self.assignments.clone(), &assignment) => {
                    if found {
                        self.empty_since = None;
                        continue;
                    }
                    return;
                }
            };
            let wait = match outcome {
                Ok((Taken::Over, list)) => self.succeeded(&assignment, list),
                Ok((Taken::Stale, _)) if self.assignments.changed().await.is_ok() => continue,
                Ok((Taken::Stale, _)) => return,
                Err(unlisted) => self.failed(&assignment, &unlisted),
            };
            let due = Instant::now() + wait;
            self.progress.next_attempt(Some(due));
            if !self.sleep_until(due, &assignment).await {
                return;
            }
        }
    }

    async fn attempt(&self, assignment: &Assignment<C>) -> Result<(Taken, Arc<DomainList>), Unlisted> {
        let known = self.known.as_ref();
        let known = known.filter(|(source, _)| *source == assignment.source);
        let list = Arc::new(attempt::attempt(assignment, known.map(|(_, list)| list.as_ref())).await?);
        let dropped = if list.domains.is_empty() {
            self.believe_empty(&list)?
        } else {
            None
        };
        let taken = self
            .surroundings
            .taker
            .take(&assignment.account, assignment.source, Arc::clone(&list))
            .await?;
        if let (Taken::Over, Some(selected)) = (taken, dropped) {
            tracing::warn!(account = %assignment.account, selected,
                "the list of domains has had none for {}, so what was selected of the last one is dropped",
                show(self.empty_for()));
        }
        Ok((taken, list))
    }

    /// How long a list must have had no domains to take those of another away.
    fn empty_for(&self) -> Duration {
        self.surroundings.pace.every * EMPTY_FOR
    }

    /// A list without domains is believed where it takes none away, or once it has stayed so for long; how many it
    /// takes away then.
    fn believe_empty(&self, list: &DomainList) -> Result<Option<usize>, Unlisted> {
        // Of all shards together: which of them this one polls is not known here.
        let Some(selected) = self.progress.view().domains.filter(|selected| *selected > 0) else {
            return Ok(None);
        };
        let lasted = self.empty_since.map_or(Duration::ZERO, |since| since.elapsed());
        if lasted >= self.empty_for() {
            return Ok(Some(selected));
        }
        let what = match list.passed_over {
            0 => "is empty".to_owned(),
            rows => format!("has {rows} rows and not one host name"),
        };
        Err(Unlisted::Empty(format!(
            "the list of domains {what}, where {} of the last one {} selected; that is believed once every attempt has \
             said so for {}",
            counted(selected, "domain"),
            if selected == 1 { "is" } else { "are" },
            show(self.empty_for())
        )))
    }

    /// Notes that a list is in use; the pause until the next attempt.
    fn succeeded(&mut self, assignment: &Assignment<C>, list: Arc<DomainList>) -> Duration {
        self.empty_since = None;
        let account = &assignment.account;
        let told = (list.passed_over, list.examples.clone());
        if told.0 > 0 && told != self.told {
            tracing::warn!(%account, names = told.0, examples = %told.1.join(", "),
                "the provider lists names that are no host names; they are passed over");
        }
        self.told = told;
        // An equal one is not kept twice: whoever took it over has kept the one before.
        if self
            .known
            .as_ref()
            .is_none_or(|known| *known != (assignment.source, Arc::clone(&list)))
        {
            self.known = Some((assignment.source, list));
        }
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(%account, "discovery succeeds again");
        }
        let Surroundings {
            observer,
            clock,
            pace,
            ..
        } = &self.surroundings;
        let now = clock.now();
        observer.discovery_ended(account, now, None);
        self.progress.ended(now, None);
        pace.every
    }

    /// Notes why there is no new list; the pause until the next attempt.
    fn failed(&mut self, assignment: &Assignment<C>, unlisted: &Unlisted) -> Duration {
        let account = &assignment.account;
        self.failures = self.failures.saturating_add(1);
        self.empty_since = match unlisted {
            Unlisted::Empty(_) => self.empty_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        let Surroundings {
            observer,
            clock,
            pace,
            ..
        } = &self.surroundings;
        let pause = pace.pause(self.failures, account).max(unlisted.not_before());
        let stays = what_stays(self.progress.view().domains);
        tracing::warn!(%account, reason = %unlisted.reason(), again_in = ?waited(pause),
            "discovery failed, {stays}: {unlisted}");
        let now = clock.now();
        observer.discovery_ended(account, now, Some(unlisted.reason()));
        self.progress.ended(now, Some(unlisted.to_string()));
        pause
    }

    /// Sleeps, unless another assignment makes another attempt worth while at once: one of another
    /// source or of a reload. All are assigned anew when the list of any account is taken over too, which
    /// removes no cause of a failure, and must not cut short what the provider asked to wait. Says
    /// whether to go on.
    async fn sleep_until(&mut self, due: Instant, done: &Assignment<C>) -> bool {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => return true,
                changed = self.assignments.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    let given = Arc::clone(&self.assignments.borrow_and_update());
                    if given.source != done.source || given.reload != done.reload {
                        return true;
                    }
                }
            }
        }
    }
}

/// What is polled after a failure, in the words of the log: `domains` are those of the last good list.
fn what_stays(domains: Option<usize>) -> &'static str {
    match domains {
        Some(_) => "the last good list stays in use",
        None => "there is no list yet, so only listed domains are polled",
    }
}

/// Waits until another source is assigned; `false` if nothing can be assigned any more.
async fn another_source<C>(mut assignments: watch::Receiver<Arc<Assignment<C>>>, at: &Assignment<C>) -> bool {
    assignments
        .wait_for(|assignment| assignment.source != at.source)
        .await
        .is_ok()
}

#[cfg(test)]
mod tests;
