//! Which windows a backfill reads: what an operator writes as a time, what is accepted as a range, and
//! how a range is cut into calls.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::model::{Window, WindowRange};

/// How a time must be written.
const WRITTEN: &str = "write it as 2026-11-01T00:00, in the provider's zone, or with an offset as \
                       2026-11-01T00:00Z or 2026-11-01T00:00+08:00";

/// What may stand between date and time, with and without seconds.
const LAYOUTS: [&str; 4] = [
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
];

/// An instant as an operator writes it: in the provider's zone unless it carries an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    local: NaiveDateTime,
    offset: Option<FixedOffset>,
}

/// A text that is no [`Moment`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no date and time: {WRITTEN}")]
pub struct MomentError;

impl Moment {
    /// The instant that is meant, `zone` being the provider's.
    #[must_use]
    pub fn resolve(self, zone: FixedOffset) -> DateTime<Utc> {
        let seconds = self.offset.unwrap_or(zone).local_minus_utc();
        // Within the years that the layouts can express, no offset leaves the calendar.
        let utc = self
            .local
            .checked_sub_signed(TimeDelta::seconds(seconds.into()))
            .unwrap_or(self.local);
        utc.and_utc()
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let text = text.trim();
        let (local, offset) = split_offset(text);
        let local = LAYOUTS
            .iter()
            .find_map(|layout| NaiveDateTime::parse_from_str(local, layout).ok())
            .or_else(|| {
                let date = NaiveDate::parse_from_str(local, "%Y-%m-%d").ok()?;
                Some(date.and_time(NaiveTime::MIN))
            })
            .ok_or(MomentError)?;
        Ok(Self { local, offset })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local.format("%Y-%m-%dT%H:%M:%S"))?;
        self.offset.map_or(Ok(()), |offset| write!(f, "{offset}"))
    }
}

/// Divides a text into what is local and an offset at its end, if there is one. A date is never taken
/// for an offset, since an offset has a colon.
fn split_offset(text: &str) -> (&str, Option<FixedOffset>) {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, FixedOffset::east_opt(0));
    }
    let offset = || {
        let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        (offset.starts_with(['+', '-']) && offset.contains(':'))
            .then(|| Some((local, Some(offset.parse::<FixedOffset>().ok()?))))
            .flatten()
    };
    offset().unwrap_or((text, None))
}

/// Why a range is refused; each message names the flag and ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// No window ends there.
    #[error("{flag} {given} is not on a 5-minute boundary: write {before} or {after}")]
    Unaligned {
        /// `--start` or `--end`.
        flag: &'static str,
        /// As it was written.
        given: Moment,
        /// The nearest boundary before it, in the provider's zone.
        before: String,
        /// The nearest boundary after it.
        after: String,
    },
    /// Before the first window that there can be.
    #[error("{flag} {given} lies before 1970: write a later time")]
    BeforeAll {
        /// `--start` or `--end`.
        flag: &'static str,
        /// As it was written.
        given: Moment,
    },
    /// Start at or after the end.
    #[error(
        "--start {start} is not before --end {end}: no window ends between them; exchange them, or move one"
    )]
    Empty {
        /// As it was written.
        start: Moment,
        /// As it was written.
        end: Moment,
    },
    /// Windows that the provider has not finished.
    #[error(
        "--end {end} is after the end of the newest settled window, {newest} (poll.settle): write that or an \
         earlier time"
    )]
    Unsettled {
        /// As it was written.
        end: Moment,
        /// The end of the newest settled window, in the provider's zone.
        newest: String,
    },
}

/// The windows that end in `(start, end]`: from midnight to midnight exactly the 288 of the day.
///
/// # Errors
/// Says which of the two is wrong and what to write instead.
pub fn windows(
    start: Moment,
    end: Moment,
    zone: FixedOffset,
    newest_settled: Window,
) -> Result<WindowRange, RangeError> {
    let before_first = boundary("--start", start, zone)?;
    let last = boundary("--end", end, zone)?;
    if last <= before_first {
        return Err(RangeError::Empty { start, end });
    }
    if last > newest_settled {
        return Err(RangeError::Unsettled {
            end,
            newest: show(newest_settled, zone),
        });
    }
    Ok(WindowRange {
        first: before_first.plus(1),
        last,
    })
}

/// The window that ends at a moment.
fn boundary(flag: &'static str, given: Moment, zone: FixedOffset) -> Result<Window, RangeError> {
    let instant = given.resolve(zone);
    if instant < DateTime::UNIX_EPOCH {
        return Err(RangeError::BeforeAll { flag, given });
    }
    let before = Window::newest_ended(instant);
    if before.end() == instant {
        return Ok(before);
    }
    Err(RangeError::Unaligned {
        flag,
        given,
        before: show(before, zone),
        after: show(before.plus(1), zone),
    })
}

/// The end of a window in a zone, as it can be given to a flag.
#[must_use]
pub fn show(window: Window, zone: FixedOffset) -> String {
    window
        .end()
        .with_timezone(&zone)
        .format("%Y-%m-%dT%H:%M%:z")
        .to_string()
}

/// Cuts a range into consecutive ones of at most `most` windows (at least 1), oldest first.
#[must_use]
pub fn pieces(range: WindowRange, most: u32) -> Vec<WindowRange> {
    let most = most.max(1);
    let mut pieces = Vec::new();
    let mut first = range.first;
    loop {
        let last = first.plus(most - 1).min(range.last);
        pieces.push(WindowRange { first, last });
        if last >= range.last {
            return pieces;
        }
        first = last.plus(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn beijing() -> FixedOffset {
        FixedOffset::east_opt(8 * 3600).unwrap()
    }

    fn moment(text: &str) -> Moment {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn window(text: &str) -> Window {
        let instant: DateTime<Utc> = text.parse().unwrap();
        Window::ending_at(instant.timestamp()).unwrap()
    }

    #[test]
    fn times_are_the_providers_unless_they_carry_an_offset() {
        for (written, meant) in [
            ("2026-11-01T00:00", "2026-10-31T16:00:00Z"),
            ("2026-11-01 00:00", "2026-10-31T16:00:00Z"),
            ("2026-11-01T00:00:00", "2026-10-31T16:00:00Z"),
            ("2026-11-01 08:30:00", "2026-11-01T00:30:00Z"),
            ("2026-11-01", "2026-10-31T16:00:00Z"),
            (" 2026-11-01 ", "2026-10-31T16:00:00Z"),
            ("2026-11-01T00:00Z", "2026-11-01T00:00:00Z"),
            ("2026-11-01T00:00:00z", "2026-11-01T00:00:00Z"),
            ("2026-11-01Z", "2026-11-01T00:00:00Z"),
            ("2026-11-01T00:00+08:00", "2026-10-31T16:00:00Z"),
            ("2026-11-01T00:00-03:30", "2026-11-01T03:30:00Z"),
            ("2026-11-01 00:00+00:00", "2026-11-01T00:00:00Z"),
            ("2026-11-01+01:00", "2026-10-31T23:00:00Z"),
            ("2024-02-29", "2024-02-28T16:00:00Z"),
        ] {
            let meant: DateTime<Utc> = meant.parse().unwrap();
            assert_eq!(moment(written).resolve(beijing()), meant, "{written}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "yesterday",
            "1793491200",
            "2026-11",
            "2026-11-31",
            "2025-02-29",
            "2026-11-01T24:00",
            "2026-11-01T00",
            "2026-11-01T00:00+8",
            "2026-11-01T00:00+25:00",
            "2026-11-01T00:00ZZ",
            "2026-11-01T00:00 CST",
            "2026-11-01T00:00.5",
            "01.11.2026",
            "京京京",
            "+08:00",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError), "{text:?}");
        }
    }

    #[test]
    fn a_day_is_288_windows_of_which_the_first_ends_five_minutes_after_midnight() {
        let newest = window("2026-11-22T00:00:00Z");
        let day = windows(moment("2026-11-01"), moment("2026-11-02"), beijing(), newest).unwrap();
        assert_eq!(day.first, window("2026-10-31T16:05:00Z"));
        assert_eq!(day.last, window("2026-11-01T16:00:00Z"));
        assert_eq!(day.count(), 288);
    }

    #[test]
    fn the_newest_settled_window_can_be_read_and_the_next_cannot() {
        let newest = window("2026-11-01T00:00:00Z");
        let read = |end| windows(moment("2026-11-01T07:55"), moment(end), beijing(), newest);
        assert_eq!(
            read("2026-11-01T08:00"),
            Ok(WindowRange {
                first: newest,
                last: newest
            })
        );
        assert_eq!(
            read("2026-11-01T08:05").unwrap_err().to_string(),
            "--end 2026-11-01T08:05:00 is after the end of the newest settled window, \
             2026-11-01T08:00+08:00 (poll.settle): write that or an earlier time"
        );
    }

    #[test]
    fn unusable_ranges_are_refused_with_the_remedy() {
        let newest = window("2026-11-22T00:00:00Z");
        for (start, end, message) in [
            (
                "2026-11-01T00:03",
                "2026-11-02",
                "--start 2026-11-01T00:03:00 is not on a 5-minute boundary: write 2026-11-01T00:00+08:00 or \
                 2026-11-01T00:05+08:00",
            ),
            (
                "2026-11-01",
                "2026-11-01T16:00:01Z",
                "--end 2026-11-01T16:00:01+00:00 is not on a 5-minute boundary: write 2026-11-02T00:00+08:00 or \
                 2026-11-02T00:05+08:00",
            ),
            (
                "2026-11-02",
                "2026-11-02",
                "--start 2026-11-02T00:00:00 is not before --end 2026-11-02T00:00:00: no window ends between \
                 them; exchange them, or move one",
            ),
            (
                "2026-11-01T00:00",
                "2026-10-31T16:00Z",
                "--start 2026-11-01T00:00:00 is not before --end 2026-10-31T16:00:00+00:00: no window ends \
                 between them; exchange them, or move one",
            ),
            (
                "1969-12-31",
                "2026-11-02",
                "--start 1969-12-31T00:00:00 lies before 1970: write a later time",
            ),
        ] {
            let error = windows(moment(start), moment(end), beijing(), newest).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    proptest! {
        /// The pieces cover each window exactly once, in order, and none is longer than allowed.
        #[test]
        fn pieces_cover_each_window_once(first in 0_u32..10_000_000, count in 1_u32..120_000, most in 0_u32..9_000) {
            let first = Window::ending_at(0).unwrap().plus(first);
            let range = WindowRange { first, last: first.plus(count - 1) };
            let pieces = pieces(range, most);
            let mut next = range.first;
            for piece in &pieces {
                prop_assert_eq!(piece.first, next);
                prop_assert!(piece.last >= piece.first);
                prop_assert!(piece.count() <= usize::try_from(most.max(1)).unwrap());
                next = piece.last.plus(1);
            }
            prop_assert_eq!(next, range.last.plus(1));
            prop_assert_eq!(pieces.iter().map(|piece| piece.count()).sum::<usize>(), range.count());
        }

        /// What is shown of a window is read back as the same window, in any zone of whole minutes.
        #[test]
        fn shown_ends_are_read_back(place in 0_u32..20_000_000, minutes in -720_i32..841) {
            let zone = FixedOffset::east_opt(minutes * 60).unwrap();
            let window = Window::ending_at(0).unwrap().plus(place);
            prop_assert_eq!(moment(&show(window, zone)).resolve(beijing()), window.end());
        }
    }
}
