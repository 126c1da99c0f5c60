//! How fast an account may ask: evenly spaced requests, slower after the provider throttled.

use std::time::Duration;

/// A throttled account regains its configured rate in this time.
const RECOVERY: Duration = Duration::from_secs(600);

/// Throttles within this time of the last one are answers to requests sent before it took effect.
const ONE_THROTTLE: Duration = Duration::from_secs(1);

/// The rate never falls below this part of the configured one, so that the account stays alive.
const FLOOR: f64 = 1.0 / 64.0;

/// Hands out instants at which requests may start.
#[derive(Debug)]
pub struct Pacer {
    configured: f64,
    rate: f64,
    rate_set: Duration,
    throttled: Option<Duration>,
    next: Duration,
}

impl Pacer {
    /// A pacer of so many requests per second (above 0 by validation).
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        Self {
            configured: per_second,
            rate: per_second,
            rate_set: Duration::ZERO,
            throttled: None,
            next: Duration::ZERO,
        }
    }

    /// The instant at which the next request may start. Each call takes a place in the row.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        // Idle time is not saved up, so that no second holds more than the rate. Who waits has reserved
        // ahead, so nothing is lost to timers that wake late.
        let start = self.next.max(now);
        let spacing = Duration::try_from_secs_f64(1.0 / self.rate(now)).unwrap_or(RECOVERY);
        self.next = start.saturating_add(spacing);
        start
    }

    /// The provider throttled: halves the rate.
    pub fn throttle(&mut self, now: Duration) {
        if self
            .throttled
            .is_none_or(|last| now.saturating_sub(last) >= ONE_THROTTLE)
        {
            self.rate = (self.rate(now) / 2.0).max(self.configured * FLOOR);
            self.rate_set = now;
            self.throttled = Some(now);
        }
    }

    /// Requests per second at this instant.
    #[must_use]
    pub fn rate(&self, now: Duration) -> f64 {
        let recovered = now.saturating_sub(self.rate_set).as_secs_f64() / RECOVERY.as_secs_f64();
        (self.rate + self.configured * recovered).min(self.configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn requests_are_spaced_evenly_and_idle_time_is_not_saved_up() {
        let mut pacer = Pacer::new(10.0);
        let starts: Vec<_> = [0, 0, 0, 5_000, 5_000].map(|now| pacer.reserve(ms(now))).into();
        assert_eq!(starts, [ms(0), ms(100), ms(200), ms(5_000), ms(5_100)]);
    }

    #[test]
    fn a_throttle_halves_the_rate_which_recovers_in_ten_minutes() {
        let mut pacer = Pacer::new(8.0);
        pacer.throttle(ms(0));
        pacer.throttle(ms(10));
        let rate = |pacer: &Pacer, seconds| pacer.rate(Duration::from_secs(seconds));
        assert!((rate(&pacer, 0) - 4.0).abs() < 1e-9);
        assert!((rate(&pacer, 150) - 6.0).abs() < 1e-9);
        assert!((rate(&pacer, 300) - 8.0).abs() < 1e-9);
        assert!((rate(&pacer, 9_000) - 8.0).abs() < 1e-9);
        for second in 1..100 {
            pacer.throttle(Duration::from_secs(9_000 + second));
        }
        assert!((rate(&pacer, 9_099) - 8.0 / 64.0).abs() < 0.05);
    }

    proptest! {
        /// Never more requests in a second than the rate, rounded up.
        #[test]
        fn no_second_holds_more_than_the_rate(
            rate in 1.0_f64..200.0,
            gaps in proptest::collection::vec(0_u64..400, 1..400),
        ) {
            let mut pacer = Pacer::new(rate);
            let mut now = Duration::ZERO;
            let mut starts: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += ms(gap / 20);
                starts.push(pacer.reserve(now));
            }
            for (i, start) in starts.iter().enumerate() {
                let in_second = starts[i..].iter().take_while(|s| **s < *start + ms(1_000)).count();
                #[allow(clippy::as_conversions, clippy::cast_precision_loss, reason = "small counts")]
                let in_second = in_second as f64;
                prop_assert!(in_second <= rate + 1.0, "{in_second} at {rate}");
            }
        }
    }
}
