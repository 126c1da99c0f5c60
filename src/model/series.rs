//! The windows of one domain at one endpoint, in a flat and bounded row of numbers.

use crate::model::{Endpoint, Reading, Values, Window};

/// Consecutive windows, oldest first; a window without a reading is a row of absent values. Takes
/// 8 bytes a field and window, so 16 for `bandwidth_flow` and 24 for `origin_ratio`.
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

    /// Takes over readings, in any order, of windows at or after `oldest`, and forgets older ones.
    /// A field that a reading does not give keeps what an earlier reply gave: nothing already
    /// learned is lost.
    pub fn merge(&mut self, readings: &[Reading], oldest: Window) -> Merge {
        let mut merge = Merge::default();
        self.forget_before(oldest);
        for reading in readings.iter().filter(|r| r.window >= oldest) {
            let endpoint = self.endpoint;
            let row = self.row_mut(reading.window);
            let was_empty = row.iter().all(|value| value.is_nan());
            let mut changed = false;
            for (place, value) in row.iter_mut().zip(reading.values.columns(endpoint)) {
                if !value.is_nan() && place.to_bits() != value.to_bits() {
                    *place = *value;
                    changed = true;
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

    /// Drops the windows before `oldest`.
    pub fn forget_before(&mut self, oldest: Window) {
        if let Some(places) = oldest.places_after(self.first) {
            let values = places
                .saturating_mul(self.endpoint.width())
                .min(self.columns.len());
            if values > 0 {
                self.columns.drain(..values);
                self.first = oldest;
            }
        }
    }

    /// The readings, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Reading> + '_ {
        self.columns
            .chunks_exact(self.endpoint.width())
            .enumerate()
            .filter(|(_, row)| row.iter().any(|value| !value.is_nan()))
            .map(|(place, row)| Reading {
                window: self.first.plus(u32::try_from(place).unwrap_or(u32::MAX)),
                values: Values::from_columns(row),
            })
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

    /// The row of a window, made if needed; the rows between are empty.
    fn row_mut(&mut self, window: Window) -> &mut [f64] {
        let width = self.endpoint.width();
        if self.columns.is_empty() {
            self.first = window;
        }
        if let Some(earlier) = self.first.places_after(window) {
            self.columns
                .splice(0..0, std::iter::repeat_n(f64::NAN, earlier * width));
            self.first = window;
        }
        let start = window.places_after(self.first).unwrap_or_default() * width;
        if self.columns.len() < start + width {
            self.columns.reserve_exact(start + width - self.columns.len());
            self.columns.resize(start + width, f64::NAN);
        }
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

    #[test]
    fn later_values_replace_earlier_ones_and_absent_ones_do_not() {
        let mut series = Series::new(Endpoint::BandwidthFlow);
        let first = series.merge(&[reading(5, 1.0), reading(3, 2.0)], window(0));
        assert_eq!(first.appeared, [window(5), window(3)]);
        let flow_only = Reading {
            window: window(5),
            values: Values::NONE.with(Field::Flow, 9.0),
        };
        let second = series.merge(&[flow_only, reading(3, 2.0)], window(0));
        assert_eq!((second.appeared.len(), second.revised), (0, vec![window(5)]));
        let newest = series.newest().unwrap();
        assert_eq!(newest.values.get(Field::Bandwidth), Some(1.0));
        assert_eq!(newest.values.get(Field::Flow), Some(9.0));
        assert_eq!(series.newest_until(window(4)).unwrap(), reading(3, 2.0));
        assert_eq!(series.newest_until(window(2)), None);
    }

    #[test]
    fn windows_before_the_horizon_are_forgotten() {
        let mut series = Series::new(Endpoint::OriginRatio);
        let ratio = |place| Reading {
            window: window(place),
            values: Values::NONE.with(Field::OriginRatio, 0.5),
        };
        series.merge(&[ratio(1), ratio(2), ratio(8)], window(0));
        let merge = series.merge(&[ratio(1)], window(2));
        assert_eq!(merge, Merge::default());
        assert_eq!(
            series.iter().map(|r| r.window).collect::<Vec<_>>(),
            [window(2), window(8)]
        );
        series.forget_before(window(100));
        assert_eq!(series.newest(), None);
    }

    proptest! {
        /// Whatever the order, repetition and division into replies, the last value of each
        /// window is kept, ascending, and nothing outside the horizon.
        #[test]
        fn merging_keeps_the_last_value_of_each_window(
            replies in proptest::collection::vec(
                proptest::collection::vec((0_u32..40, 0_u32..5), 0..20), 0..8),
            oldest in 0_u32..20,
        ) {
            let mut series = Series::new(Endpoint::BandwidthFlow);
            let mut expected = std::collections::BTreeMap::new();
            for reply in &replies {
                let readings: Vec<_> = reply.iter().map(|(w, v)| reading(*w, f64::from(*v))).collect();
                series.merge(&readings, window(oldest));
                for (w, v) in reply {
                    if *w >= oldest {
                        expected.insert(*w, f64::from(*v));
                    }
                }
            }
            let kept: Vec<_> = series.iter().collect();
            let expected: Vec<_> = expected.into_iter().map(|(w, v)| reading(w, v)).collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
