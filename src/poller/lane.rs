//! The limits that all requests of one account share: how many at once, how many per second, how
//! many again.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::model::{AccountName, DateShift, Disposition, Failure, Reason};
use crate::observer::Observer;
use crate::plan::{Pacer, RetryBudget, RetryPolicy};
use crate::telemetry::waited;

/// Admits requests of one account.
pub struct Lane {
    account: AccountName,
    concurrency: usize,
    permits: Semaphore,
    limits: Mutex<Limits>,
    origin: Instant,
    observer: Arc<dyn Observer>,
}

struct Limits {
    pacer: Pacer,
    budget: RetryBudget,
    /// The rate that the observer knows.
    told: f64,
}

/// A request that may start within this time starts now: the runtime's timers have no finer steps, so
/// it would start later than it may, and each would cost a wake-up.
const TIMER_STEP: Duration = Duration::from_millis(1);

impl Lane {
    /// A lane of so many requests at once (at least 1) and per second (above 0).
    #[must_use]
    pub fn new(
        account: AccountName,
        concurrency: usize,
        per_second: f64,
        observer: Arc<dyn Observer>,
    ) -> Self {
        observer.request_rate(&account, per_second);
        Self {
            account,
            concurrency,
            permits: Semaphore::new(concurrency),
            limits: Mutex::new(Limits {
                pacer: Pacer::new(per_second),
                budget: RetryBudget::new(),
                told: per_second,
            }),
            origin: Instant::now(),
            observer,
        }
    }

    /// How many requests may be under way at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Makes a call within the account's limits, and again while that can help and its end is not due.
    /// `key` makes the jitter of its retries its own; `retried` hears of every one.
    ///
    /// # Errors
    /// The last failure.
    pub async fn call<T, F>(
        &self,
        key: impl Fn() -> String,
        deadline: Instant,
        call: impl Fn(DateShift) -> F,
        retried: impl Fn(),
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let policy = RetryPolicy::default();
        let mut shift = DateShift::Today;
        let mut retry = 0;
        self.limits().budget.earn();
        loop {
            let permit = self.admit().await;
            let result = call(shift).await;
            drop(permit);
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.reason == Reason::Throttled {
                self.throttle();
            }
            if let (DateShift::Today, Disposition::SignAgain(other)) = (shift, failure.disposition) {
                shift = other;
            } else {
                let key = key();
                let remaining = deadline.saturating_duration_since(Instant::now());
                let wait = policy.wait(failure.disposition, retry, &key, remaining);
                let Some(wait) = wait.filter(|_| self.limits().budget.spend()) else {
                    return Err(failure);
                };
                tracing::debug!(account = %self.account, call = key, reason = %failure.reason, wait = ?waited(wait),
                    "retrying: {failure}");
                retry += 1;
                tokio::time::sleep(wait).await;
            }
            retried();
        }
    }

    /// Waits until a request may start; it may run until the permit is dropped.
    async fn admit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.permits.acquire().await.ok();
        let now = self.origin.elapsed();
        let (start, other_rate) = {
            let mut limits = self.limits();
            let start = limits.pacer.reserve(now);
            let rate = limits.pacer.rate(now);
            let before = std::mem::replace(&mut limits.told, rate);
            (start, (rate.to_bits() != before.to_bits()).then_some(rate))
        };
        if let Some(rate) = other_rate {
            self.observer.request_rate(&self.account, rate);
        }
        if start.saturating_sub(now) >= TIMER_STEP {
            tokio::time::sleep_until(self.origin + start).await;
        }
        permit
    }

    /// The provider throttled.
    fn throttle(&self) {
        let now = self.origin.elapsed();
        let rate = {
            let mut limits = self.limits();
            limits.pacer.throttle(now);
            limits.told = limits.pacer.rate(now);
            limits.told
        };
        self.observer.request_rate(&self.account, rate);
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Observer for Nobody {}

    /// How long it takes until so many requests may have started, one after the other.
    async fn time_of(requests: usize, per_second: f64) -> Duration {
        let lane = Lane::new(AccountName::new("a"), 1, per_second, Arc::new(Nobody));
        let started = Instant::now();
        for _ in 0..requests {
            drop(lane.admit().await);
        }
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_may_start_now_waits_for_no_timer() {
        // 20 of them are spread over 0.2 ms, which is finer than a timer.
        assert_eq!(time_of(20, 100_000.0).await, Duration::ZERO);
        assert_eq!(time_of(3, 10.0).await, Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_waited_for_is_not_forgotten() {
        // A second's worth of requests takes a second all the same.
        let took = time_of(10_001, 10_000.0).await;
        assert!((999..=1_001).contains(&took.as_millis()), "{took:?}");
    }
}
