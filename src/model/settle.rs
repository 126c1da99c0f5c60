//! Learns from what was seen change how old a window must be to be settled (`poll.settle: auto`).

use chrono::{DateTime, TimeDelta, Utc};

/// The range of what is learned, in minutes.
const LEAST: usize = 1;
const MOST: usize = 30;
/// Where it starts, in minutes.
const START: usize = 10;
/// It is settled when fewer than one in so many windows still changes.
const ONE_IN: u64 = 1_000;
/// How far back is counted, in hours.
const HOURS: usize = 24;
const HOUR_SECONDS: i64 = 3_600;
/// From the first observation to the first choice, and from one choice to the next.
const CHOICE_EVERY: TimeDelta = TimeDelta::seconds(HOUR_SECONDS);

/// What the last day showed of the ages at which windows changed, in whole minutes, rounded up.
///
/// The first appearance of a window is a change: before, the window was missing from every sum. A
/// window that changes more than once after an age is counted each time, since nothing is kept of
/// single windows; this errs on the side of waiting. About 6 kB, however many domains there are.
#[derive(Clone, Debug)]
pub struct Settling {
    /// By the number of the hour modulo [`HOURS`].
    hours: [Hour; HOURS],
    /// Since when changes are observed.
    since: Option<DateTime<Utc>>,
    chosen: usize,
    chosen_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    /// Since 1970; entries of another hour than the one looked for are of another day.
    number: i64,
    /// Windows that appeared.
    windows: u64,
    /// Changes by age in minutes; index 0 is never used, the last one holds everything older.
    changes: [u64; MOST + 2],
}

/// What is told of settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleReport {
    /// The settle that is in force.
    pub present: TimeDelta,
    /// It is learned rather than set.
    pub learned: bool,
    /// The least whole minute, of 1 to 30, after which fewer than 1 in 1,000 windows changed over
    /// the last day; `None` where none is enough or no window was seen to appear.
    pub enough: Option<TimeDelta>,
    /// How many windows were seen to appear over the last day.
    pub windows: u64,
}

impl Default for Settling {
    fn default() -> Self {
        Self {
            hours: [Hour::default(); HOURS],
            since: None,
            chosen: START,
            chosen_at: None,
        }
    }
}

impl Settling {
    /// The longest settle that is ever learned; the other durations must leave room for it.
    pub const LONGEST: std::time::Duration = std::time::Duration::from_secs(30 * 60);

    /// The settle that was chosen last.
    #[must_use]
    pub fn chosen(&self) -> TimeDelta {
        minutes(self.chosen)
    }

    /// A window appeared that was not there when it was asked for before.
    pub fn appeared(&mut self, age: TimeDelta, now: DateTime<Utc>) {
        if let Some(hour) = self.hour_mut(now) {
            hour.windows += 1;
        }
        self.revised(age, now);
    }

    /// A window changed.
    pub fn revised(&mut self, age: TimeDelta, now: DateTime<Utc>) {
        self.since.get_or_insert(now);
        let minutes = age.num_milliseconds().saturating_add(59_999).div_euclid(60_000);
        let minutes = usize::try_from(minutes.max(1)).map_or(MOST + 1, |minutes| minutes.min(MOST + 1));
        let place = self.hour_mut(now).and_then(|hour| hour.changes.get_mut(minutes));
        if let Some(count) = place {
            *count += 1;
        }
    }

    /// The settle to use at `now`: whole minutes, chosen once an hour.
    ///
    /// Every change moves the newest settled window of all domains at once, and a rise takes back
    /// windows that were shown until they are old enough again. So it changes rarely, and it falls
    /// only once a thousand windows or a whole day were seen: one in a thousand cannot be told
    /// from less. It rises on less, since the value that changed was shown to somebody.
    pub fn choose(&mut self, now: DateTime<Utc>) -> TimeDelta {
        let due = |last: DateTime<Utc>| {
            // A clock that stepped back must not keep a choice for as long as it stepped.
            now < last || now.signed_duration_since(last) >= CHOICE_EVERY
        };
        if self.chosen_at.or(self.since).is_some_and(due) {
            self.chosen_at = Some(now);
            let (enough, windows) = self.enough(now);
            let day_seen = self
                .since
                .is_some_and(|since| now.signed_duration_since(since) >= TimeDelta::days(1));
            // Where no age is enough, the longest comes closest.
            let wanted = enough.unwrap_or(if windows > 0 { MOST } else { self.chosen });
            if wanted > self.chosen || windows >= ONE_IN || day_seen {
                self.chosen = wanted;
            }
        }
        self.chosen()
    }

    /// What there is to tell at `now`, beside the settle in force.
    #[must_use]
    pub fn report(&self, present: TimeDelta, learned: bool, now: DateTime<Utc>) -> SettleReport {
        let (enough, windows) = self.enough(now);
        SettleReport {
            present,
            learned,
            enough: enough.map(minutes),
            windows,
        }
    }

    /// The least minute after which few enough windows changed, and of how many windows.
    fn enough(&self, now: DateTime<Utc>) -> (Option<usize>, u64) {
        let newest = hour_number(now);
        let last_day = || {
            self.hours
                .iter()
                .filter(|hour| (0..24).contains(&newest.saturating_sub(hour.number)))
        };
        let windows: u64 = last_day().map(|hour| hour.windows).sum();
        let enough = (LEAST..=MOST).find(|minutes| {
            let later: u64 = last_day()
                .flat_map(|hour| hour.changes.iter().skip(minutes + 1))
                .sum();
            later.saturating_mul(ONE_IN) < windows
        });
        (enough, windows)
    }

    /// The counts of the present hour, emptied if they are of an hour of another day.
    fn hour_mut(&mut self, now: DateTime<Utc>) -> Option<&mut Hour> {
        let number = hour_number(now);
        let hour = self.hours.get_mut(usize::try_from(number.rem_euclid(24)).ok()?)?;
        if hour.number != number {
            *hour = Hour {
                number,
                ..Hour::default()
            };
        }
        Some(hour)
    }
}

fn hour_number(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(HOUR_SECONDS)
}

fn minutes(count: usize) -> TimeDelta {
    TimeDelta::minutes(i64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
    }

    /// So many windows appear at this age, in seconds.
    fn appear(settling: &mut Settling, count: usize, age: i64, now: DateTime<Utc>) {
        for _ in 0..count {
            settling.appeared(TimeDelta::seconds(age), now);
        }
    }

    #[test]
    fn fewer_than_one_in_a_thousand_may_change_later() {
        // Windows that appear at 3 minutes and revisions at an age in seconds; what is enough.
        for (windows, revisions, age, enough) in [
            (1_000, 0, 0, Some(3)),
            (1_000, 1, 1_000, Some(17)),
            (1_001, 1, 1_000, Some(3)),
            (5_000, 5, 421, Some(8)),
            (5_000, 4, 421, Some(3)),
            (1_000, 1, 1_800, Some(30)),
            (1_000, 1, 1_801, None),
            (1, 0, 0, Some(3)),
            (1, 1, 600, Some(10)),
            (0, 1, 600, None),
        ] {
            let mut settling = Settling::default();
            appear(&mut settling, windows, 180, at(0));
            for _ in 0..revisions {
                settling.revised(TimeDelta::seconds(age), at(0));
            }
            let report = settling.report(TimeDelta::minutes(7), false, at(5));
            assert_eq!(
                report.enough,
                enough.map(TimeDelta::minutes),
                "{windows} {revisions} {age}"
            );
            assert_eq!(report.windows, u64::try_from(windows).unwrap());
            assert_eq!((report.present, report.learned), (TimeDelta::minutes(7), false));
        }
    }

    #[test]
    fn ages_are_rounded_up_to_minutes_and_never_below_one() {
        for (age, enough) in [
            (TimeDelta::seconds(-90), 1),
            (TimeDelta::zero(), 1),
            (TimeDelta::seconds(60), 1),
            (TimeDelta::milliseconds(60_001), 2),
            (TimeDelta::seconds(299), 5),
            (TimeDelta::seconds(300), 5),
        ] {
            let mut settling = Settling::default();
            settling.appeared(age, at(0));
            let report = settling.report(TimeDelta::zero(), true, at(0));
            assert_eq!(report.enough, Some(TimeDelta::minutes(enough)), "{age}");
        }
    }

    #[test]
    fn it_starts_at_ten_minutes_and_changes_once_an_hour_at_most() {
        let mut settling = Settling::default();
        let minutes = TimeDelta::minutes;
        assert_eq!(settling.choose(at(0)), minutes(10));
        assert_eq!(settling.choose(at(600)), minutes(10), "nothing was seen");
        appear(&mut settling, 500, 240, at(600));
        for (now, expected) in [(600, 10), (659, 10), (660, 10)] {
            assert_eq!(
                settling.choose(at(now)),
                minutes(expected),
                "500 windows are few, {now}"
            );
        }
        appear(&mut settling, 500, 240, at(661));
        assert_eq!(settling.choose(at(719)), minutes(10), "within the hour");
        assert_eq!(settling.choose(at(720)), minutes(4));
        settling.revised(TimeDelta::seconds(900), at(721));
        assert_eq!(settling.choose(at(779)), minutes(4));
        assert_eq!(settling.choose(at(780)), minutes(15));
        // The clock steps back: what is known of later hours does not count, nor does their choice.
        appear(&mut settling, 1, 1_200, at(400));
        assert_eq!(settling.choose(at(400)), minutes(20));
    }

    #[test]
    fn few_windows_raise_it_at_once_and_lower_it_after_a_day() {
        let mut settling = Settling::default();
        let minutes = TimeDelta::minutes;
        appear(&mut settling, 1, 1_500, at(0));
        for hour in 1..30 {
            appear(&mut settling, 12, 420, at(hour * 60));
            // The late window is of the hour 0, which has left the last day by the hour 24.
            let expected = if hour < 24 { 25 } else { 7 };
            assert_eq!(settling.choose(at(hour * 60)), minutes(expected), "{hour}");
        }
    }

    proptest! {
        /// Held against a plain list of everything that happened.
        #[test]
        fn counts_are_those_of_a_list(
            events in proptest::collection::vec((0_i64..4_000, 0_i64..3_000, any::<bool>()), 0..60),
        ) {
            let mut events = events;
            events.sort_unstable();
            let mut settling = Settling::default();
            for (minute, age, appeared) in &events {
                let age = TimeDelta::seconds(*age);
                if *appeared {
                    settling.appeared(age, at(*minute));
                } else {
                    settling.revised(age, at(*minute));
                }
            }
            let now = events.last().map_or(0, |event| event.0);
            // 1,800,000,000 is a whole hour.
            let recent: Vec<_> = events.iter().filter(|event| now / 60 - event.0 / 60 < 24).collect();
            let windows = recent.iter().filter(|event| event.2).count();
            let enough = (1..=30).find(|minutes| {
                recent.iter().filter(|event| event.1 > minutes * 60).count() * 1_000 < windows
            });
            let report = settling.report(TimeDelta::zero(), true, at(now));
            prop_assert_eq!(report.enough, enough.map(TimeDelta::minutes));
            prop_assert_eq!(report.windows, u64::try_from(windows).unwrap());
        }
    }
}
