//! The 5-minute bin that every number belongs to.

use chrono::{DateTime, TimeDelta, Utc};

/// A 5-minute bin: the half-open UTC interval `[start, end)`, named by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window(u32);

impl Window {
    /// The length of a bin in seconds, fixed by the provider.
    pub const SECONDS: i64 = 300;

    /// The window that ends at this Unix time; `None` where no window ends (not a multiple of
    /// 300 s, before 1970, or after the year 42,000).
    #[must_use]
    pub fn ending_at(unix_seconds: i64) -> Option<Self> {
        (unix_seconds % Self::SECONDS == 0)
            .then(|| u32::try_from(unix_seconds / Self::SECONDS).ok())
            .flatten()
            .map(Self)
    }

    /// The newest window whose end is at or before `instant`.
    #[must_use]
    pub fn newest_ended(instant: DateTime<Utc>) -> Self {
        let index = instant.timestamp().div_euclid(Self::SECONDS);
        Self(u32::try_from(index).unwrap_or(if index < 0 { 0 } else { u32::MAX }))
    }

    /// Its end, in Unix seconds.
    #[must_use]
    pub fn end_seconds(self) -> i64 {
        i64::from(self.0) * Self::SECONDS
    }

    /// Its end.
    #[must_use]
    pub fn end(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.end_seconds(), 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The window `count` places later.
    #[must_use]
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The window `count` places earlier.
    #[must_use]
    pub fn minus(self, count: u32) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// How many places `self` lies after `earlier`; `None` if it lies before it.
    #[must_use]
    pub fn places_after(self, earlier: Self) -> Option<usize> {
        self.0
            .checked_sub(earlier.0)
            .and_then(|n| usize::try_from(n).ok())
    }
}

/// The windows asked for in one call: both ends are part of it, as the provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowRange {
    /// The oldest window.
    pub first: Window,
    /// The newest window.
    pub last: Window,
}

impl WindowRange {
    /// Every window that ended within `span` before `now`: `(now - span, now]`. With a span of 1 h
    /// these are 12 windows. The newest is asked for although it is not settled, so that the
    /// provider's delay can be observed.
    #[must_use]
    pub fn last(span: TimeDelta, now: DateTime<Utc>) -> Self {
        let before = now.checked_sub_signed(span).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let last = Window::newest_ended(now);
        Self {
            first: Window::newest_ended(before).plus(1).min(last),
            last,
        }
    }

    /// Whether the window was asked for.
    #[must_use]
    pub fn contains(self, window: Window) -> bool {
        (self.first..=self.last).contains(&window)
    }

    /// How many windows it spans.
    #[must_use]
    pub fn count(self) -> usize {
        self.last.places_after(self.first).map_or(0, |n| n + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn windows_end_at_multiples_of_five_minutes() {
        assert_eq!(
            Window::ending_at(1_513_540_200).unwrap().end_seconds(),
            1_513_540_200
        );
        assert_eq!(Window::ending_at(1_513_540_201), None);
        assert_eq!(Window::ending_at(-300), None);
        assert_eq!(Window::ending_at(i64::MAX / 300 * 300), None);
    }

    #[test]
    fn the_last_hour_is_twelve_windows() {
        for (now, first, last) in [
            (
                "2026-11-22T12:00:00Z",
                "2026-11-22T11:05:00Z",
                "2026-11-22T12:00:00Z",
            ),
            (
                "2026-11-22T12:04:59Z",
                "2026-11-22T11:05:00Z",
                "2026-11-22T12:00:00Z",
            ),
            (
                "2026-11-22T12:05:00Z",
                "2026-11-22T11:10:00Z",
                "2026-11-22T12:05:00Z",
            ),
        ] {
            let range = WindowRange::last(TimeDelta::hours(1), at(now));
            assert_eq!(
                (range.first.end(), range.last.end()),
                (at(first), at(last)),
                "{now}"
            );
            assert_eq!(range.count(), 12);
        }
    }
}
