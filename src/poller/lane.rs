//! The limits that all requests of one account share: how many at once, how many per second, how
//! many again.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::model::{AccountName, DateShift, Disposition, Failure, Reason};
use crate::observer::Observer;
use crate::plan::{Pacer, RetryBudget, RetryPolicy};

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
}

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
                tracing::debug!(account = %self.account, call = key, reason = %failure.reason, ?wait, "retrying");
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
        let (start, rate) = {
            let now = self.origin.elapsed();
            let mut limits = self.limits();
            (limits.pacer.reserve(now), limits.pacer.rate(now))
        };
        self.observer.request_rate(&self.account, rate);
        tokio::time::sleep_until(self.origin + start).await;
        permit
    }

    /// The provider throttled.
    fn throttle(&self) {
        let now = self.origin.elapsed();
        let rate = {
            let mut limits = self.limits();
            limits.pacer.throttle(now);
            limits.pacer.rate(now)
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
