//! Whether a failed call is made again within its poll, and after how long.

use std::time::Duration;

use crate::model::{Disposition, stable_hash};

/// Full-jitter exponential backoff. The jitter comes from a stable hash, so that a test, or a
/// reader of two logs, can reproduce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most waiting before the first retry.
    pub base: Duration,
    /// Most waiting before any retry.
    pub cap: Duration,
    /// Most retries of one call.
    pub retries: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(20),
            retries: 4,
        }
    }
}

impl RetryPolicy {
    /// How long to wait before retry number `retry` (from 0) of the call that `key` names, or
    /// `None` to give up: the failure is not transient, the retries are used up, or the wait, or
    /// what the provider asked for, does not end before `remaining` does.
    #[must_use]
    pub fn wait(
        &self,
        disposition: Disposition,
        retry: u32,
        key: &str,
        remaining: Duration,
    ) -> Option<Duration> {
        let Disposition::Retry { after } = disposition else {
            return None;
        };
        if retry >= self.retries {
            return None;
        }
        let ceiling = self
            .base
            .saturating_mul(2_u32.saturating_pow(retry))
            .min(self.cap);
        let hash = stable_hash(format!("{key}\n{retry}").as_bytes());
        let jittered = (ceiling.as_nanos() * u128::from(hash)) >> 64;
        let jittered = Duration::from_nanos(u64::try_from(jittered).unwrap_or(u64::MAX));
        Some(after.map_or(jittered, |asked| asked.saturating_add(jittered))).filter(|wait| *wait < remaining)
    }
}

/// Bounds retries to a share of all requests, so that an outage is not answered with a flood.
#[derive(Debug)]
pub struct RetryBudget {
    /// In hundredths of a retry.
    balance: u32,
}

impl RetryBudget {
    /// What one request earns: 20 % of a retry.
    const EARNED: u32 = 20;
    /// What one retry costs.
    const COST: u32 = 100;
    /// The most that can be saved up, and what there is at start: ten retries, so that a small
    /// account, which asks seldom, can retry at all.
    const MOST: u32 = 1_000;

    /// A full budget.
    #[must_use]
    pub const fn new() -> Self {
        Self { balance: Self::MOST }
    }

    /// A first attempt was made.
    pub fn earn(&mut self) {
        self.balance = self.balance.saturating_add(Self::EARNED).min(Self::MOST);
    }

    /// Takes one retry out, if there is one.
    pub fn spend(&mut self) -> bool {
        match self.balance.checked_sub(Self::COST) {
            Some(rest) => {
                self.balance = rest;
                true
            }
            None => false,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRY: Disposition = Disposition::Retry { after: None };

    #[test]
    fn only_transient_failures_are_tried_again() {
        let policy = RetryPolicy::default();
        for disposition in [Disposition::Stop, Disposition::Isolate, Disposition::Halve] {
            assert_eq!(
                policy.wait(disposition, 0, "k", Duration::MAX),
                None,
                "{disposition:?}"
            );
        }
        assert!(policy.wait(RETRY, 0, "k", Duration::MAX).is_some());
        assert_eq!(policy.wait(RETRY, 4, "k", Duration::MAX), None);
    }

    #[test]
    fn what_the_provider_asks_for_is_waited_for_or_the_call_given_up() {
        let policy = RetryPolicy::default();
        let asked = Disposition::Retry {
            after: Some(Duration::from_secs(5)),
        };
        let wait = policy.wait(asked, 0, "k", Duration::from_secs(30)).unwrap();
        assert!(
            (Duration::from_secs(5)..Duration::from_millis(5_500)).contains(&wait),
            "{wait:?}"
        );
        assert_eq!(policy.wait(asked, 0, "k", Duration::from_secs(5)), None);
    }

    proptest! {
        #[test]
        fn waits_stay_below_the_exponential_ceiling_and_repeat(key: String, retry in 0_u32..4) {
            let policy = RetryPolicy::default();
            let wait = policy.wait(RETRY, retry, &key, Duration::MAX).unwrap();
            prop_assert!(wait < Duration::from_millis(500) * 2_u32.pow(retry));
            prop_assert_eq!(Some(wait), policy.wait(RETRY, retry, &key, Duration::MAX));
        }

        /// Whatever the mix of requests and failures: at most 20 % retries beyond the reserve.
        #[test]
        fn retries_stay_within_a_fifth_of_requests(failures in proptest::collection::vec(0_u32..6, 0..500)) {
            let mut budget = RetryBudget::new();
            let (mut requests, mut retries) = (0_u32, 0_u32);
            for wanted in failures {
                requests += 1;
                budget.earn();
                retries += (0..wanted).map(|_| u32::from(budget.spend())).sum::<u32>();
            }
            prop_assert!(retries <= requests / 5 + 10);
        }
    }
}
