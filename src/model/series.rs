//! The windows of one domain at one endpoint, in a flat and bounded row of numbers.

use crate::model::{Endpoint, Field, Reading, Values, Window, WindowRange};

/// Consecutive windows, oldest first; a window without a reading is a row of absent values. Takes
/// 8 bytes a field and window, so 16 for `bandwidth_flow` and 24 for `origin_ratio`, and never more
/// windows than the range that the last [`Series::merge`] kept.
#[derive(Clone, Debug)]
pub struct Series {
    endpoint: Endpoint,
    first: Window,
    columns: Vec<f64>,
}

/// What merging one reply changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// Windows that had no reading before.
    pub appeared: Vec<Window>,
    /// Windows of which a value changed.
    pub revised: Vec<Window>,
}

impl Series {
    /// An empty series.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            first: Window::newest_ended(chrono::DateTime::UNIX_EPOCH),
            columns: Vec::new(),
        }
    }

    /// Takes over readings, in any order, of the windows within `keep`, and forgets all others; a
    /// window after the range is one of a clock that has stepped back since. A field that a reading
    /// does not give keeps what an earlier reply gave: nothing already learned is lost. But a reading
    /// that revises another field is another state of the window and taken whole: the two together
    /// are none that the provider ever gave, as an old ratio beside a bandwidth that has become 0.
    pub fn merge(&mut self, readings: &[Reading], keep: WindowRange) -> Merge {
        let mut merge = Merge::default();
        self.forget_outside(keep);
        let within = || readings.iter().filter(|reading| keep.contains(reading.window));
        let windows = || within().map(|reading| reading.window);
        if let (Some(first), Some(last)) = (windows().min(), windows().max()) {
            self.make_room(first, last);
        }
        let endpoint = self.endpoint;
        for reading in within() {
            let row = self.row_mut(reading.window);
            let given = reading.values.columns(endpoint);
            let was_empty = row.iter().all(|value| value.is_nan());
            let is_revised = row.iter().zip(given).any(|(known, value)| {
                !(known.is_nan() || value.is_nan()) && known.to_bits() != value.to_bits()
            });
            let mut changed = is_revised;
            for (place, value) in row.iter_mut().zip(given) {
                if is_revised || (place.is_nan() && !value.is_nan()) {
                    changed |= !value.is_nan();
                    *place = *value;
                }
            }
            match (changed, was_empty) {
                (true, true) => merge.appeared.push(reading.window),
                (true, false) => merge.revised.push(reading.window),
                (false, _) => {}
            }
        }
        merge
    }

    /// Drops the windows outside the range. The room that they took is used for the next ones, so
    /// that moving on by a window allocates nothing.
    pub fn forget_outside(&mut self, keep: WindowRange) {
        let width = self.endpoint.width();
        let longest = keep.last.places_after(self.first).map_or(0, |places| places + 1);
        self.columns.truncate(longest.saturating_mul(width));
        if let Some(places) = keep.first.places_after(self.first) {
            let values = places.saturating_mul(width).min(self.columns.len());
            self.columns.drain(..values);
            self.first = keep.first;
        }
        // A horizon that became shorter gives its memory back; one that is no multiple of a window
        // holds one more at some times than at others.
        let most = keep.count().saturating_mul(width);
        if self.columns.capacity() > most.saturating_add(width) {
            self.columns.shrink_to(most);
        }
    }

    /// The readings, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Reading> + '_ {
        self.rows()
            .filter(|(_, row)| row.iter().any(|value| !value.is_nan()))
            .map(|(window, row)| Reading {
                window,
                values: Values::from_columns(row),
            })
    }

    /// The values of a field in the windows of a range that have it, oldest first.
    pub fn field(&self, field: Field, range: WindowRange) -> impl Iterator<Item = (Window, f64)> + '_ {
        // A field of another endpoint has no column here.
        let column = (field.endpoint() == self.endpoint).then(|| field.column());
        let width = self.endpoint.width();
        let first = self.first.max(range.first);
        self.within(range)
            .chunks_exact(width)
            .zip(0..)
            .filter_map(move |(row, place)| {
                let value = *row.get(column?)?;
                (!value.is_nan()).then(|| (first.plus(place), value))
            })
    }

    /// How many windows of a range have a reading.
    #[must_use]
    pub fn count(&self, range: WindowRange) -> usize {
        fn present<const WIDTH: usize>(columns: &[f64]) -> usize {
            let (rows, _) = columns.as_chunks::<WIDTH>();
            rows.iter()
                .filter(|row| row.iter().any(|value| !value.is_nan()))
                .count()
        }
        let columns = self.within(range);
        // A width that the compiler knows makes this five times as fast.
        match self.endpoint {
            Endpoint::BandwidthFlow => present::<{ Endpoint::BandwidthFlow.width() }>(columns),
            Endpoint::OriginRatio => present::<{ Endpoint::OriginRatio.width() }>(columns),
        }
    }

    /// The newest reading at or before `window`.
    #[must_use]
    pub fn newest_until(&self, window: Window) -> Option<Reading> {
        self.iter().rev().find(|reading| reading.window <= window)
    }

    /// The newest reading of all.
    #[must_use]
    pub fn newest(&self) -> Option<Reading> {
        self.iter().next_back()
    }

    /// The memory that the values take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.capacity() * size_of::<f64>()
    }

    /// Every row with its window.
    fn rows(&self) -> impl DoubleEndedIterator<Item = (Window, &[f64])> + '_ {
        self.columns
            .chunks_exact(self.endpoint.width())
            .enumerate()
            .map(|(place, row)| {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                (self.first.plus(place), row)
            })
    }

    /// The rows from the later of `range.first` and the series' own first window on.
    fn within(&self, range: WindowRange) -> &[f64] {
        let width = self.endpoint.width();
        let skipped = range.first.places_after(self.first).unwrap_or(0);
        let end = range.last.places_after(self.first).map_or(0, |places| places + 1);
        let held = self.columns.len() / width;
        let (start, end) = (skipped.min(held), end.min(held));
        self.columns.get(start * width..end * width).unwrap_or_default()
    }

    /// Makes rows from the earlier of `first` and the present first window to the later of `last`
    /// and the present last one; the new ones are empty. Takes no more memory than they need.
    fn make_room(&mut self, first: Window, last: Window) {
        let width = self.endpoint.width();
        if self.columns.is_empty() {
            self.first = first;
        }
        let before = self.first.places_after(first).unwrap_or(0) * width;
        self.first = self.first.min(first);
        let rows = last.places_after(self.first).map_or(0, |places| places + 1);
        let length = (rows * width).max(before + self.columns.len());
        self.columns.reserve_exact(length - self.columns.len());
        self.columns.resize(length, f64::NAN);
        // The empty rows at the end that belong to the beginning.
        self.columns.rotate_right(before);
    }

    /// The row of a window that there is room for.
    fn row_mut(&mut self, window: Window) -> &mut [f64] {
        let width = self.endpoint.width();
        let start = window.places_after(self.first).unwrap_or_default() * width;
        self.columns.get_mut(start..start + width).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Field;
    use proptest::prelude::*;

    fn window(place: u32) -> Window {
        Window::ending_at(1_800_000_000).unwrap().plus(place)
    }

    fn reading(place: u32, bandwidth: f64) -> Reading {
        Reading {
            window: window(place),
            values: Values::NONE.with(Field::Bandwidth, bandwidth),
        }
    }

    fn range(first: u32, last: u32) -> WindowRange {
        WindowRange {
            first: window(first),
            last: window(last),
        }
    }

    #[test]
    fn later_values_replace_earlier_ones_and_absent_ones_do_not() {
        let mut series = Series::new(Endpoint::BandwidthFlow);
        let keep = range(0, 12);
        let first = series.merge(&[reading(5, 1.0), reading(3, 2.0)], keep);
        assert_eq!(first.appeared, [window(5), window(3)]);
        let flow_only = Reading {
            window: window(5),
            values: Values::NONE.with(Field::Flow, 9.0),
        };
        let second = series.merge(&[flow_only, reading(3, 2.0)], keep);
        assert_eq!((second.appeared.len(), second.revised), (0, vec![window(5)]));
        let newest = series.newest().unwrap();
        assert_eq!(newest.values.get(Field::Bandwidth), Some(1.0));
        assert_eq!(newest.values.get(Field::Flow), Some(9.0));
        assert_eq!(series.newest_until(window(4)).unwrap(), reading(3, 2.0));
        assert_eq!(series.newest_until(window(2)), None);
    }

    #[test]
    fn windows_outside_the_range_are_forgotten() {
        let mut series = Series::new(Endpoint::OriginRatio);
        let ratio = |place| Reading {
            window: window(place),
            values: Values::NONE.with(Field::OriginRatio, 0.5),
        };
        let held = |series: &Series| series.iter().map(|r| r.window).collect::<Vec<_>>();
        series.merge(&[ratio(1), ratio(2), ratio(8)], range(0, 12));
        let merge = series.merge(&[ratio(1), ratio(15)], range(2, 14));
        assert_eq!(merge, Merge::default());
        assert_eq!(held(&series), [window(2), window(8)]);
        // The clock stepped back, a little and then by years.
        series.forget_outside(range(0, 7));
        assert_eq!(held(&series), [window(2)]);
        series.merge(&[ratio(0)], range(0, 7));
        assert_eq!(held(&series), [window(0), window(2)]);
        let merge = series.merge(
            &[Reading {
                window: window(0).minus(900_000),
                ..ratio(0)
            }],
            WindowRange {
                first: window(0).minus(900_011),
                last: window(0).minus(900_000),
            },
        );
        assert_eq!(merge.appeared, held(&series));
        assert!(series.bytes() <= 13 * 24, "{}", series.bytes());
        series.forget_outside(range(100, 112));
        assert_eq!(series.newest(), None);
    }

    #[test]
    fn fields_and_counts_are_those_of_a_range() {
        let mut series = Series::new(Endpoint::BandwidthFlow);
        let flow = Reading {
            window: window(4),
            values: Values::NONE.with(Field::Flow, 9.0),
        };
        series.merge(&[reading(3, 1.0), flow, reading(7, 2.0)], range(0, 12));
        let bandwidth = |range| series.field(Field::Bandwidth, range).collect::<Vec<_>>();
        assert_eq!(bandwidth(range(0, 12)), [(window(3), 1.0), (window(7), 2.0)]);
        assert_eq!(bandwidth(range(4, 7)), [(window(7), 2.0)]);
        assert_eq!(bandwidth(range(3, 6)), [(window(3), 1.0)]);
        assert_eq!(bandwidth(range(8, 12)), []);
        assert_eq!(bandwidth(range(0, 2)), []);
        assert_eq!(bandwidth(range(7, 3)), []);
        assert_eq!(series.field(Field::EdgeBandwidth, range(0, 12)).count(), 0);
        for ((first, last), count) in [((0, 12), 3), ((4, 7), 2), ((5, 6), 0), ((7, 3), 0), ((8, 9), 0)] {
            assert_eq!(series.count(range(first, last)), count, "{first} to {last}");
        }
    }

    #[test]
    fn a_day_takes_forty_bytes_a_window_and_moving_on_allocates_nothing() {
        for (endpoint, field, width) in [
            (Endpoint::BandwidthFlow, Field::Flow, 16),
            (Endpoint::OriginRatio, Field::OriginRatio, 24),
        ] {
            let mut series = Series::new(endpoint);
            let reading = |place| Reading {
                window: window(place),
                values: Values::NONE.with(field, 0.5),
            };
            let mut place = None;
            for now in 287..900 {
                // The newest windows come late, as they do.
                let readings: Vec<_> = (now - 287..=now - now % 3).map(reading).collect();
                series.merge(&readings, range(now - 287, now));
                assert!(series.bytes() <= 288 * width, "{endpoint}: {}", series.bytes());
                if now > 290 {
                    // By then it has been as long as it gets.
                    let here = series.columns.as_ptr();
                    assert_eq!(*place.get_or_insert(here), here, "{endpoint} at {now}");
                }
            }
            series.merge(&[], range(888, 899));
            assert!(series.bytes() <= 13 * width, "{}", series.bytes());
        }
    }

    #[test]
    fn a_field_that_is_not_given_stays_unless_another_is_revised() {
        let values = |fields: &[(Field, f64)]| {
            fields
                .iter()
                .fold(Values::NONE, |values, (field, value)| values.with(*field, *value))
        };
        let (edge, origin, ratio) = (Field::EdgeBandwidth, Field::OriginBandwidth, Field::OriginRatio);
        let known = values(&[(edge, 100.0), (origin, 90.0), (ratio, 0.9)]);
        for (given, expected, revised) in [
            // Mangled on its way.
            (values(&[(edge, 100.0), (origin, 90.0)]), known, 0),
            (values(&[(ratio, 0.9)]), known, 0),
            // The window became idle, and an idle one has no ratio.
            (
                values(&[(edge, 0.0), (origin, 0.0)]),
                values(&[(edge, 0.0), (origin, 0.0)]),
                1,
            ),
            (
                values(&[(edge, 100.0), (ratio, 0.8)]),
                values(&[(edge, 100.0), (ratio, 0.8)]),
                1,
            ),
        ] {
            let mut series = Series::new(Endpoint::OriginRatio);
            let reading = |values| Reading {
                window: window(3),
                values,
            };
            series.merge(&[reading(known)], range(0, 9));
            let merge = series.merge(&[reading(given)], range(0, 9));
            assert_eq!(series.iter().collect::<Vec<_>>(), [reading(expected)]);
            assert_eq!((merge.appeared.len(), merge.revised.len()), (0, revised));
        }
    }

    proptest! {
        /// Whatever the order, repetition and division into replies, the last value of each
        /// window is kept, ascending, and nothing outside the horizon.
        #[test]
        fn merging_keeps_the_last_value_of_each_window(
            replies in proptest::collection::vec(
                proptest::collection::vec((0_u32..40, 0_u32..5), 0..20), 0..8),
            oldest in 0_u32..20,
            length in 0_u32..20,
        ) {
            let mut series = Series::new(Endpoint::BandwidthFlow);
            let mut expected = std::collections::BTreeMap::new();
            let keep = range(oldest, oldest + length);
            for reply in &replies {
                let readings: Vec<_> = reply.iter().map(|(w, v)| reading(*w, f64::from(*v))).collect();
                series.merge(&readings, keep);
                for (w, v) in reply {
                    if (oldest..=oldest + length).contains(w) {
                        expected.insert(*w, f64::from(*v));
                    }
                }
            }
            let kept: Vec<_> = series.iter().collect();
            let expected: Vec<_> = expected.into_iter().map(|(w, v)| reading(w, v)).collect();
            prop_assert_eq!(series.count(keep), expected.len());
            prop_assert_eq!(kept, expected);
            prop_assert!(series.bytes() <= keep.count() * 16);
        }
    }
}
