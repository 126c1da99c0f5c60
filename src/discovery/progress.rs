//! What is known of an account's discovery from outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::model::AccountName;

/// The state of one account's discovery, read by the status page.
#[derive(Debug)]
pub struct Progress {
    account: AccountName,
    state: Mutex<ProgressView>,
}

/// A copy of the state.
#[derive(Clone, Debug, Default)]
pub struct ProgressView {
    /// There has been one attempt, whatever came of it.
    pub first_attempt_done: bool,
    /// How many domains of the last good list the filter selects; `None` without a list.
    pub domains: Option<usize>,
    /// When a list was last taken over.
    pub last_success: Option<DateTime<Utc>>,
    /// What was last wrong, and when.
    pub last_failure: Option<(DateTime<Utc>, String)>,
    /// When the next attempt is due; `None` while one is under way.
    pub next_attempt: Option<Instant>,
}

impl Progress {
    /// Of a discovery that has done nothing yet.
    #[must_use]
    pub fn new(account: AccountName) -> Self {
        Self {
            account,
            state: Mutex::default(),
        }
    }

    /// Whose discovery.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// The state now.
    #[must_use]
    pub fn view(&self) -> ProgressView {
        self.lock().clone()
    }

    /// How many domains the filter selects of the list in use.
    pub fn selected(&self, domains: Option<usize>) {
        self.lock().domains = domains;
    }

    pub(super) fn next_attempt(&self, at: Option<Instant>) {
        self.lock().next_attempt = at;
    }

    pub(super) fn ended(&self, now: DateTime<Utc>, failure: Option<String>) {
        let mut state = self.lock();
        match failure {
            None => state.last_success = Some(now),
            Some(failure) => state.last_failure = Some((now, failure)),
        }
        state.first_attempt_done = true;
    }

    fn lock(&self) -> MutexGuard<'_, ProgressView> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
