//! The limits that all requests of one account share: how many at once, how many per second, how
//! many again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::model::AccountName;
use crate::observer::Observer;
use crate::plan::{Pacer, RetryBudget};

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

    /// Waits until a request may start; it may run until the permit is dropped.
    pub(super) async fn admit(&self) -> Option<SemaphorePermit<'_>> {
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

    /// A call was made for the first time.
    pub(super) fn earn_retry(&self) {
        self.limits().budget.earn();
    }

    /// Whether a call may be made again.
    pub(super) fn spend_retry(&self) -> bool {
        self.limits().budget.spend()
    }

    /// The provider throttled.
    pub(super) fn throttle(&self) {
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
