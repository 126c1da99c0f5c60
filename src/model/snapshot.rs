//! The immutable set of readings that a scrape is served from, and the rule of what it may show.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{AccountName, CrossCheck, Domain, Endpoint, Reason, Series, Values, Window, WindowRange};

/// Which windows may be shown at a given instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibilityRule {
    /// A window is settled when it ended at least this long ago.
    pub settle: TimeDelta,
    /// Values disappear when the newest settled window ended longer ago than this.
    pub stale_after: TimeDelta,
    /// How far back windows are re-read and kept (`poll.window`).
    pub horizon: TimeDelta,
}

impl VisibilityRule {
    /// The newest window that is settled at `now`.
    #[must_use]
    pub fn newest_settled(&self, now: DateTime<Utc>) -> Window {
        Window::newest_ended(
            now.checked_sub_signed(self.settle)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        )
    }

    /// The windows that are within the horizon and settled at `now`.
    #[must_use]
    pub fn settled(&self, now: DateTime<Utc>) -> WindowRange {
        WindowRange {
            first: WindowRange::last(self.horizon, now).first,
            last: self.newest_settled(now),
        }
    }

    fn is_stale(&self, window: Window, now: DateTime<Utc>) -> bool {
        now.signed_duration_since(window.end()) > self.stale_after
    }
}

/// The rule, and whether its settle is only where learning starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// Which windows may be shown.
    pub rule: VisibilityRule,
    /// `poll.settle: auto`: what the provider's habits teach takes the place of `rule.settle`.
    pub learns: bool,
}

impl From<VisibilityRule> for Visibility {
    /// The rule as it is.
    fn from(rule: VisibilityRule) -> Self {
        Self { rule, learns: false }
    }
}

/// How the last poll of a domain at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPoll {
    /// Not polled yet.
    Never,
    /// At least one reading of the domain was usable.
    Usable,
    /// The call succeeded but gave nothing usable for the domain.
    Empty,
    /// The call failed.
    Failed(Reason),
}

/// What is known of one domain at one endpoint.
#[derive(Clone, Debug)]
pub struct Track {
    /// The windows within the horizon.
    pub series: Series,
    /// How the last poll ended.
    pub last_poll: LastPoll,
    /// The last answer, usable or empty, if there was one.
    pub last_answer: Option<LastAnswer>,
}

/// When the provider last answered, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAnswer {
    /// When.
    pub at: DateTime<Utc>,
    /// The windows that it could have given.
    pub range: WindowRange,
}

impl LastAnswer {
    /// The longest that a change may have gone unseen for its age to be worth recording: the length
    /// of a window. After an outage, everything that changed meanwhile would seem to be late.
    const LONGEST_GAP: TimeDelta = TimeDelta::seconds(Window::SECONDS);

    /// How long after a window's end a change in it happened that the next answer, at `now`, shows:
    /// at most this. `None` where that is not known to within 5 minutes, or where this answer was
    /// not asked for the window although it had ended.
    #[must_use]
    pub fn age_of_change(&self, window: Window, now: DateTime<Utc>) -> Option<TimeDelta> {
        let asked_or_later = window >= self.range.first;
        let unseen_since = self.at.max(window.end());
        (asked_or_later && now.signed_duration_since(unseen_since) <= Self::LONGEST_GAP)
            .then(|| now.signed_duration_since(window.end()))
    }
}

/// The window whose values are shown, and until when that stays so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected {
    /// The newest settled window.
    pub window: Window,
    /// Its values.
    pub values: Values,
}

impl Track {
    /// Nothing known yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            series: Series::new(endpoint),
            last_poll: LastPoll::Never,
            last_answer: None,
        }
    }

    /// The newest settled window, unless it is stale.
    #[must_use]
    pub fn selected(&self, rule: &VisibilityRule, now: DateTime<Utc>) -> Option<Selected> {
        let newest = self.series.newest_until(rule.newest_settled(now))?;
        (!rule.is_stale(newest.window, now)).then_some(Selected {
            window: newest.window,
            values: newest.values,
        })
    }

    /// The `up` gauge: the last poll was usable, and the newest settled window is not stale; while no
    /// window has settled yet, the newest one is not (a poller that died must not leave a 1 behind).
    #[must_use]
    pub fn is_up(&self, rule: &VisibilityRule, now: DateTime<Utc>) -> bool {
        self.last_poll == LastPoll::Usable
            && self
                .series
                .newest_until(rule.newest_settled(now))
                .or_else(|| self.series.newest())
                .is_some_and(|newest| !rule.is_stale(newest.window, now))
    }

    /// The next instant after `now` at which [`Track::selected`] or [`Track::is_up`] changes by
    /// itself: a window settles, or the newest one goes stale.
    #[must_use]
    pub fn next_change(&self, rule: &VisibilityRule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // "Older than" is exclusive: the change comes one tick of the clock after the boundary.
        let stale_at = |window: Window| {
            window
                .end()
                .checked_add_signed(rule.stale_after + TimeDelta::nanoseconds(1))
        };
        let newest_settled = rule.newest_settled(now);
        let settles = self
            .series
            .iter()
            .rev()
            .take_while(|reading| reading.window > newest_settled)
            .last()
            .and_then(|next| next.window.end().checked_add_signed(rule.settle));
        let selected_goes = self
            .series
            .newest_until(newest_settled)
            .and_then(|r| stale_at(r.window));
        let newest_goes = self.series.newest().and_then(|r| stale_at(r.window));
        [settles, selected_goes, newest_goes]
            .into_iter()
            .flatten()
            .filter(|instant| *instant > now)
            .min()
    }

    /// How many settled windows within the horizon have no reading; 0 while no reply has ever
    /// given one, since then nothing is known about what the provider has.
    #[must_use]
    pub fn missing(&self, rule: &VisibilityRule, now: DateTime<Utc>) -> usize {
        if self.series.newest().is_none() {
            return 0;
        }
        let mut settled = rule.settled(now);
        if let Some(answer) = self.last_answer {
            // What the last answer was not asked for, since the horizon has grown, is not missing.
            settled.first = settled.first.max(answer.range.first);
        }
        settled.count().saturating_sub(self.series.count(settled))
    }
}

/// One configured domain and what is known of it at each endpoint it is read through.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The `domain` label.
    pub domain: Domain,
    /// The `account` label.
    pub account: AccountName,
    /// What its readings come from; those of another source are not comparable.
    pub source: u64,
    /// By [`Endpoint::index`]; `None` where the domain is not read through the endpoint.
    pub tracks: [Option<Track>; Endpoint::ALL.len()],
}

impl Entry {
    /// What is known at an endpoint.
    #[must_use]
    pub fn track(&self, endpoint: Endpoint) -> Option<&Track> {
        self.tracks.get(endpoint.index()).and_then(Option::as_ref)
    }
}

/// Everything that one scrape shows of the domains.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows with every change; equal versions are the same snapshot.
    pub version: u64,
    /// What may be shown.
    pub rule: VisibilityRule,
    /// Every configured domain, ascending by name.
    pub entries: Vec<Arc<Entry>>,
    /// Made when it is first asked for, with the newest window that was settled then.
    cross_check: OnceLock<(Window, CrossCheck)>,
}

impl Snapshot {
    /// A snapshot of entries that are ascending by name.
    #[must_use]
    pub fn new(version: u64, rule: VisibilityRule, entries: Vec<Arc<Entry>>) -> Self {
        Self {
            version,
            rule,
            entries,
            cross_check: OnceLock::new(),
        }
    }

    /// The comparison of the endpoints over the windows settled at `now`; the work is done once,
    /// unless the snapshot is still in use when the next window settles.
    #[must_use]
    pub fn cross_check(&self, now: DateTime<Utc>) -> CrossCheck {
        let settled = self.rule.newest_settled(now);
        let (at, made) = *self
            .cross_check
            .get_or_init(|| (settled, CrossCheck::of(self, now)));
        if at == settled {
            made
        } else {
            CrossCheck::of(self, now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Field, Reading};

    const RULE: VisibilityRule = VisibilityRule {
        settle: TimeDelta::minutes(10),
        stale_after: TimeDelta::minutes(40),
        horizon: TimeDelta::hours(1),
    };

    fn at(clock: &str) -> DateTime<Utc> {
        format!("2026-11-22T{clock}Z").parse().unwrap()
    }

    fn track(ends: &[&str]) -> Track {
        let mut track = Track::new(Endpoint::BandwidthFlow);
        let readings: Vec<_> = ends
            .iter()
            .map(|end| Reading {
                window: Window::ending_at(at(end).timestamp()).unwrap(),
                values: Values::NONE.with(Field::Bandwidth, 1.0),
            })
            .collect();
        track
            .series
            .merge(&readings, WindowRange::last(TimeDelta::days(1), at("12:00:00")));
        track.last_poll = LastPoll::Usable;
        track
    }

    #[test]
    fn the_newest_settled_window_is_shown_until_it_is_stale() {
        let track = track(&["11:50:00", "11:55:00", "12:00:00"]);
        for (now, shown, up, next) in [
            ("11:59:59", None, true, Some("12:00:00")),
            ("12:00:00", Some("11:50:00"), true, Some("12:05:00")),
            ("12:04:59", Some("11:50:00"), true, Some("12:05:00")),
            ("12:05:00", Some("11:55:00"), true, Some("12:10:00")),
            ("12:10:00", Some("12:00:00"), true, Some("12:40:00.000000001")),
            ("12:40:00", Some("12:00:00"), true, Some("12:40:00.000000001")),
            ("12:40:01", None, false, None),
        ] {
            let selected = track.selected(&RULE, at(now)).map(|s| s.window.end());
            assert_eq!(selected, shown.map(at), "{now}");
            assert_eq!(track.is_up(&RULE, at(now)), up, "{now}");
            assert_eq!(track.next_change(&RULE, at(now)), next.map(at), "{now}");
        }
    }

    #[test]
    fn a_failed_or_empty_poll_is_down_but_keeps_its_values() {
        let mut track = track(&["11:55:00"]);
        for last_poll in [
            LastPoll::Failed(Reason::Timeout),
            LastPoll::Empty,
            LastPoll::Never,
        ] {
            track.last_poll = last_poll;
            assert!(!track.is_up(&RULE, at("12:06:00")));
            assert!(track.selected(&RULE, at("12:06:00")).is_some());
        }
    }

    #[test]
    fn windows_that_the_last_answer_was_not_asked_for_are_not_missing() {
        let mut track = track(&["11:40:00", "11:50:00"]);
        let answered = |horizon| LastAnswer {
            at: at("12:01:00"),
            range: WindowRange::last(horizon, at("12:01:00")),
        };
        // At 12:04, 11:05 to 11:50 are settled within the hour: ten windows.
        for (horizon, missing) in [(60, 8), (120, 8), (30, 2), (15, 0)] {
            track.last_answer = Some(answered(TimeDelta::minutes(horizon)));
            assert_eq!(track.missing(&RULE, at("12:04:00")), missing, "{horizon}");
        }
    }

    #[test]
    fn an_age_is_known_where_the_last_answer_is_recent_and_was_asked_for_the_window() {
        let answer = LastAnswer {
            at: at("12:01:00"),
            range: WindowRange::last(TimeDelta::hours(1), at("12:01:00")),
        };
        for (end, now, age) in [
            // It was asked for and absent a minute ago, or has ended since.
            ("11:50:00", "12:02:00", Some(720)),
            ("11:05:00", "12:02:00", Some(3_420)),
            ("12:05:00", "12:05:30", Some(30)),
            // Within 5 minutes of the last answer, but not later, unless it has ended since.
            ("11:50:00", "12:06:00", Some(960)),
            ("11:50:00", "12:06:01", None),
            ("12:20:00", "12:25:00", Some(300)),
            ("12:20:00", "12:25:01", None),
            // It was not asked for.
            ("11:00:00", "12:02:00", None),
        ] {
            let window = Window::ending_at(at(end).timestamp()).unwrap();
            let expected = age.map(TimeDelta::seconds);
            assert_eq!(answer.age_of_change(window, at(now)), expected, "{end} {now}");
        }
    }

    #[test]
    fn missing_windows_are_counted_among_the_settled_ones() {
        // At 12:04 the horizon holds 11:05 to 12:00, of which 11:05 to 11:50 (10) are settled.
        assert_eq!(
            track(&["11:05:00", "11:50:00", "12:00:00"]).missing(&RULE, at("12:04:00")),
            8
        );
        assert_eq!(
            Track::new(Endpoint::OriginRatio).missing(&RULE, at("12:04:00")),
            0
        );
    }
}
