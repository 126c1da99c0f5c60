//! Which batch is due when: each has a fixed place in the interval, and none overlaps itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What is due within a step of this part of the interval is started together: a poll for which the
/// process has to wake costs several times one that follows another, as caches are cold by then.
const STEPS_OF_AN_INTERVAL: u32 = 100;

/// No step is longer, however long the interval: a poll starts so much later than its place at most.
const LONGEST_STEP: Duration = Duration::from_millis(250);

/// A queue of batches by their due time. A batch is taken out when it is due and put back when its
/// poll has ended, so a slow poll delays itself and nothing else.
#[derive(Debug)]
pub struct Schedule<Id> {
    interval: Duration,
    queue: BinaryHeap<Reverse<(Duration, Id)>>,
}

impl<Id: Ord + Copy> Schedule<Id> {
    /// An empty schedule; `interval` is at least a millisecond by validation.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            queue: BinaryHeap::new(),
        }
    }

    /// From one poll of a batch to the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Makes a batch due at an instant.
    pub fn push(&mut self, id: Id, due: Duration) {
        self.queue.push(Reverse((due, id)));
    }

    /// Takes out the batch that is due longest, with its due time.
    pub fn pop_due(&mut self, now: Duration) -> Option<(Id, Duration)> {
        match self.queue.peek() {
            Some(Reverse((due, _))) if *due <= now => self.queue.pop().map(|Reverse((due, id))| (id, due)),
            _ => None,
        }
    }

    /// When the next batch is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse((due, _))| *due)
    }

    /// When to look for what is due: at the end of the step in which the next batch is due, so that
    /// what is due in one step is taken out at once.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        let step = (self.interval / STEPS_OF_AN_INTERVAL)
            .min(LONGEST_STEP)
            .as_nanos();
        let due = self.next_due()?;
        let end = due.as_nanos().div_ceil(step.max(1)) * step;
        Some(Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX)))
    }

    /// The first instant after `after` that is the batch's own place (`hash`) in the interval.
    #[must_use]
    pub fn next_place(&self, hash: u64, after: Duration) -> Duration {
        next_place(self.interval, hash, after)
    }

    /// How many places of the interval passed between the due time of a poll and its end: polls
    /// that were due while it was waiting or under way.
    #[must_use]
    pub fn missed(&self, due: Duration, ended: Duration) -> u64 {
        let late = ended.saturating_sub(due).as_nanos() / self.interval.as_nanos();
        u64::try_from(late).unwrap_or(u64::MAX)
    }

    /// Empties the schedule, for another one.
    pub fn drain(&mut self) -> impl Iterator<Item = (Id, Duration)> {
        self.queue.drain().map(|Reverse((due, id))| (id, due))
    }
}

fn next_place(interval: Duration, hash: u64, after: Duration) -> Duration {
    let period = interval.as_nanos();
    // hash / 2^64 of the interval, in whole nanoseconds; both factors are below 2^64.
    let place = (period * u128::from(hash)) >> 64;
    let now = after.as_nanos();
    let rounds = if now < place {
        0
    } else {
        (now - place) / period + 1
    };
    let due = place + rounds * period;
    Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);
    /// The hash whose place is the middle of the interval.
    const HALF: u64 = 1 << 63;

    #[test]
    fn a_batch_keeps_its_place_in_the_interval() {
        let schedule = Schedule::<u32>::new(MINUTE);
        for (after, next) in [(0, 30), (29, 30), (30, 90), (31, 90), (600, 630)] {
            let after = Duration::from_secs(after);
            assert_eq!(
                schedule.next_place(HALF, after),
                Duration::from_secs(next),
                "{after:?}"
            );
        }
    }

    #[test]
    fn due_batches_come_in_order_and_only_when_due() {
        let mut schedule = Schedule::new(MINUTE);
        schedule.push('b', Duration::from_secs(2));
        schedule.push('a', Duration::from_secs(1));
        assert_eq!(schedule.pop_due(Duration::from_millis(999)), None);
        assert_eq!(schedule.next_due(), Some(Duration::from_secs(1)));
        assert_eq!(
            schedule.pop_due(Duration::from_secs(5)),
            Some(('a', Duration::from_secs(1)))
        );
        assert_eq!(
            schedule.pop_due(Duration::from_secs(5)),
            Some(('b', Duration::from_secs(2)))
        );
        assert_eq!(schedule.pop_due(Duration::from_secs(5)), None);
    }

    #[test]
    fn what_is_due_in_one_step_is_looked_for_at_its_end() {
        for (interval, due, look) in [
            (60_000, 0, 0),
            (60_000, 1, 250),
            (60_000, 250, 250),
            (60_000, 251, 500),
            (3_600_000, 1, 250),
            (10_000, 30_001, 30_100),
            (200, 5, 6),
        ] {
            let mut schedule = Schedule::new(Duration::from_millis(interval));
            assert_eq!(schedule.next_look(), None);
            schedule.push('a', Duration::from_millis(due));
            schedule.push('b', Duration::from_millis(due + interval));
            assert_eq!(
                schedule.next_look(),
                Some(Duration::from_millis(look)),
                "{interval} {due}"
            );
        }
    }

    #[test]
    fn missed_polls_are_counted_by_whole_intervals() {
        let schedule = Schedule::<u32>::new(MINUTE);
        for (ended, missed) in [(10, 0), (69, 0), (70, 1), (250, 4)] {
            assert_eq!(
                schedule.missed(Duration::from_secs(10), Duration::from_secs(ended)),
                missed,
                "{ended}"
            );
        }
    }

    proptest! {
        /// Nobody is looked for before it is due, nor later than a hundredth of the interval.
        #[test]
        fn a_look_follows_the_due_time_within_a_step(due in 0_u64..u64::MAX / 2, interval in 1_000_000_u64..u64::MAX / 4) {
            let (due, interval) = (Duration::from_nanos(due), Duration::from_nanos(interval));
            let mut schedule = Schedule::new(interval);
            schedule.push('a', due);
            let look = schedule.next_look().unwrap();
            prop_assert!(look >= due && look < due + (interval / 100).min(LONGEST_STEP));
        }

        /// The next place is after the instant, by at most one interval, and at the same phase.
        #[test]
        fn places_are_one_interval_apart(hash: u64, after in 0_u64..1_000_000, interval in 1_u64..86_400) {
            let interval = Duration::from_secs(interval);
            let after = Duration::from_millis(after);
            let schedule = Schedule::<u32>::new(interval);
            let next = schedule.next_place(hash, after);
            prop_assert!(next > after && next <= after + interval);
            prop_assert_eq!(schedule.next_place(hash, next), next + interval);
        }
    }
}
