//! Compares what the two endpoints tell of the same traffic.

use chrono::{DateTime, Utc};

use crate::model::{Entry, Field, Snapshot, WindowRange};

/// How many windows are compared, the newest settled ones: two hours. This bounds the work however
/// long `poll.window` is.
const COMPARED: usize = 24;
/// The offsets that are tried: 2 windows earlier to 2 windows later.
const OFFSETS: usize = 5;
/// The fewest windows by which a domain has a say on the offset.
const FEWEST: usize = 4;
/// An offset fits a domain clearly when every other one fits at least so many times worse …
const CLEARLY: f64 = 2.0;
/// … and misses at least this share of the traffic: steady traffic fits at any offset.
const UNSTEADY: f64 = 0.005;

/// What the comparison of `bandwidth` of `bandwidth_flow` with `bandwidth` of `origin_ratio` gives,
/// over the domains that are read through both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossCheck {
    /// The median over the domains of the difference relative to the larger of the two, over the
    /// newest settled windows. `None` where there is nothing to compare.
    pub difference: Option<f64>,
    /// How many windows later `origin_ratio` labels the same traffic than `bandwidth_flow` does,
    /// -2 to 2; -1 where it labels windows by their start. `None` where too few domains tell.
    pub offset: Option<i32>,
}

impl CrossCheck {
    /// PURE: compares the settled windows of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: DateTime<Utc>) -> Self {
        let mut settled = snapshot.rule.settled(now);
        let back = u32::try_from(COMPARED - 1).unwrap_or(0);
        settled.first = settled.first.max(settled.last.minus(back));
        let (mut differences, mut offsets) = (Vec::new(), Vec::new());
        // One after the other: all pairs at once are 384 bytes a domain.
        for pair in snapshot
            .entries
            .iter()
            .filter_map(|entry| Pair::of(entry, settled))
        {
            differences.extend(pair.difference());
            offsets.extend(pair.offset());
        }
        Self {
            difference: median(&mut differences),
            offset: majority(offsets),
        }
    }
}

/// The bandwidths of one domain by window, from the first compared one on; NaN where absent.
struct Pair {
    flow: [f64; COMPARED],
    ratio: [f64; COMPARED],
}

impl Pair {
    fn of(entry: &Entry, settled: WindowRange) -> Option<Self> {
        let column = |field: Field| {
            let mut column = [f64::NAN; COMPARED];
            let track = entry.track(field.endpoint())?;
            for (window, value) in track.series.field(field, settled) {
                let place = window.places_after(settled.first)?;
                *column.get_mut(place)? = value;
            }
            Some(column)
        };
        Some(Self {
            flow: column(Field::Bandwidth)?,
            ratio: column(Field::EdgeBandwidth)?,
        })
    }

    /// The difference over all windows that both endpoints gave.
    fn difference(&self) -> Option<f64> {
        let (mut apart, mut larger) = (0.0, 0.0);
        for (a, b) in self
            .flow
            .iter()
            .zip(&self.ratio)
            .filter(|(a, b)| !(a.is_nan() || b.is_nan()))
        {
            apart += (a - b).abs();
            larger += a.max(*b);
        }
        (larger > 0.0).then(|| apart / larger)
    }

    /// The offset that clearly fits best.
    fn offset(&self) -> Option<i32> {
        // All offsets are tried on the same windows of one side: those with all five of the other.
        let rows: Vec<(f64, &[f64])> = self
            .flow
            .iter()
            .skip(OFFSETS / 2)
            .zip(self.ratio.windows(OFFSETS))
            .filter(|(a, others)| !a.is_nan() && others.iter().all(|b| !b.is_nan()))
            .map(|(a, others)| (*a, others))
            .collect();
        if rows.len() < FEWEST {
            return None;
        }
        let all: f64 = rows.iter().map(|(a, _)| a).sum();
        let misfit = |place: usize| {
            let column = || {
                rows.iter()
                    .filter_map(|(a, others)| Some((*a, *others.get(place)?)))
            };
            // A constant factor between the two says nothing about the offset.
            let scale = all / column().map(|(_, b)| b).sum::<f64>();
            column().map(|(a, b)| (a - scale * b).abs()).sum::<f64>() / all
        };
        let mut misfits: Vec<(f64, i32)> = (0..OFFSETS)
            .map(misfit)
            .zip(-2..)
            .filter(|(misfit, _)| misfit.is_finite())
            .collect();
        misfits.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [(best, offset), (second, _), _, _, _] = misfits[..] else {
            return None;
        };
        (second >= UNSTEADY && second >= best * CLEARLY).then_some(offset)
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(values.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The vote of more than half.
fn majority(mut votes: Vec<i32>) -> Option<i32> {
    votes.sort_unstable();
    // More than half of them leave no room for another in the middle.
    let middle = *votes.get(votes.len() / 2)?;
    let count = votes.iter().filter(|vote| **vote == middle).count();
    (count * 2 > votes.len()).then_some(middle)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;
    use crate::model::{AccountName, Domain, Endpoint, Reading, Track, Values, VisibilityRule, Window};

    const RULE: VisibilityRule = VisibilityRule {
        settle: TimeDelta::minutes(10),
        stale_after: TimeDelta::minutes(40),
        horizon: TimeDelta::hours(1),
    };

    /// 12:00, a whole window.
    const NOW: i64 = 1_800_014_400;

    /// Traffic of the ten windows of the horizon that are settled and of the two that are not.
    const LIVELY: [f64; 12] = [
        100.0, 140.0, 90.0, 120.0, 170.0, 130.0, 95.0, 160.0, 110.0, 150.0, 105.0, 125.0,
    ];

    fn track(endpoint: Endpoint, field: Field, values: impl Iterator<Item = (i64, f64)>) -> Track {
        let mut track = Track::new(endpoint);
        let readings: Vec<_> = values
            .map(|(place, value)| Reading {
                window: Window::ending_at(NOW + (place - 11) * 300).unwrap(),
                values: Values::NONE.with(field, value),
            })
            .collect();
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        track
            .series
            .merge(&readings, WindowRange::last(RULE.horizon, now));
        track
    }

    /// A domain of which `origin_ratio` tells `factor` of the traffic, `offset` windows later.
    fn domain(name: &str, traffic: &[f64], factor: f64, offset: i64) -> Arc<Entry> {
        let by_place = || (0..).zip(traffic.iter().copied());
        let flow = track(Endpoint::BandwidthFlow, Field::Bandwidth, by_place());
        let moved = by_place().map(|(place, value)| (place + offset, value * factor));
        let ratio = track(Endpoint::OriginRatio, Field::EdgeBandwidth, moved);
        Arc::new(Entry {
            domain: Domain::parse(name).unwrap(),
            account: AccountName::new("a"),
            source: 0,
            tracks: [Some(flow), Some(ratio)],
        })
    }

    fn check(entries: Vec<Arc<Entry>>) -> CrossCheck {
        CrossCheck::of(
            &Snapshot::new(1, RULE, entries),
            DateTime::from_timestamp(NOW, 0).unwrap(),
        )
    }

    #[test]
    fn the_offset_that_fits_is_found_whatever_the_difference() {
        for (factor, offset) in [(1.0, 0), (0.98, -1), (0.98, 1), (0.5, -2), (2.0, 2)] {
            let found = check(vec![domain("a.com", &LIVELY, factor, offset)]);
            assert_eq!(found.offset.map(i64::from), Some(offset), "{factor} {offset}");
        }
    }

    #[test]
    fn the_difference_is_the_median_over_domains_of_what_is_apart() {
        let apart = |factors: &[f64]| {
            let domains = factors.iter().map(|factor| domain("a.com", &LIVELY, *factor, 0));
            check(domains.collect()).difference.unwrap()
        };
        for (factors, difference) in [
            (&[1.0][..], 0.0),
            (&[0.98], 0.02),
            (&[1.25], 0.2),
            (&[0.98, 0.5, 1.0], 0.02),
            (&[0.98, 0.5, 1.0, 0.96], 0.03),
        ] {
            assert!((apart(factors) - difference).abs() < 1e-12, "{factors:?}");
        }
    }

    #[test]
    fn idle_steady_and_scarce_traffic_does_not_tell_the_offset() {
        let idle = [0.0; 12];
        let steady = [100.0; 12];
        let rising: Vec<f64> = (0..12).map(|n| 1_000.0 + f64::from(n)).collect();
        for (traffic, difference) in [
            (&idle[..], None),
            (&steady, Some(0.0)),
            (&rising, Some(0.0)),
            (&LIVELY[..6], Some(0.0)),
        ] {
            let found = check(vec![domain("a.com", traffic, 1.0, 0)]);
            assert_eq!(
                (found.difference, found.offset),
                (difference, None),
                "{traffic:?}"
            );
        }
        assert_eq!(check(Vec::new()), CrossCheck::default());
        let mut alone = domain("a.com", &LIVELY, 1.0, 0);
        Arc::make_mut(&mut alone).tracks[1] = None;
        assert_eq!(check(vec![alone]), CrossCheck::default());
    }

    #[test]
    fn more_than_half_of_the_domains_that_tell_decide() {
        let with = |offsets: &[i64]| {
            let domains = offsets
                .iter()
                .map(|offset| domain("a.com", &LIVELY, 1.0, *offset));
            check(domains.chain([domain("b.com", &[7.0; 12], 1.0, 0)]).collect()).offset
        };
        for (offsets, expected) in [
            (&[-1, -1, 0][..], Some(-1)),
            (&[-1, 0], None),
            (&[-1, 0, 1, 1], None),
            (&[2, 2, 2, 0, 1], Some(2)),
        ] {
            assert_eq!(with(offsets), expected, "{offsets:?}");
        }
    }

    #[test]
    fn unsettled_windows_take_no_part() {
        let mut traffic = LIVELY;
        let plain = check(vec![domain("a.com", &traffic, 0.98, 0)]);
        // The two newest windows are preliminary at one endpoint.
        let mut entry = domain("a.com", &traffic, 0.98, 0);
        traffic[10] = 1.0;
        traffic[11] = 1.0;
        Arc::make_mut(&mut entry).tracks[0] = domain("a.com", &traffic, 0.98, 0).tracks[0].clone();
        assert_eq!(check(vec![entry]), plain);
    }
}
