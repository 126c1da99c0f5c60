//! PURE: which domains the page shows, in which order, and what it says of each.

use chrono::{DateTime, TimeDelta, Utc};

use super::Status;
use super::query::{Query, Sort, StateKind};
use crate::model::{Endpoint, Entry, Field, LastPoll, Reason, Track, VisibilityRule};

/// Most windows in a small line: 3 hours.
const RECENT: u32 = 36;

/// How a domain fares; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// The last poll was usable, and there is a settled window that is not stale.
    Up,
    /// No settled window yet, or the last call succeeded but gave nothing usable.
    NoData,
    /// The newest settled window is older than `stale_after`.
    Stale,
    /// The last poll failed.
    Failing(Reason),
}

impl State {
    pub(super) const fn kind(self) -> StateKind {
        match self {
            Self::Up => StateKind::Up,
            Self::NoData => StateKind::NoData,
            Self::Stale => StateKind::Stale,
            Self::Failing(_) => StateKind::Failing,
        }
    }

    fn of(track: &Track, rule: &VisibilityRule, now: DateTime<Utc>) -> Self {
        let settled = track.series.newest_until(rule.newest_settled(now));
        match track.last_poll {
            LastPoll::Failed(reason) => Self::Failing(reason),
            _ if settled.is_some() && track.selected(rule, now).is_none() => Self::Stale,
            LastPoll::Usable if settled.is_some() => Self::Up,
            _ => Self::NoData,
        }
    }
}

/// One domain.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) entry: &'a Entry,
    /// The worst of its endpoints.
    pub(super) state: State,
    /// By [`Endpoint::index`]; `None` where it is not read through the endpoint.
    pub(super) tracks: [Option<TrackRow>; Endpoint::ALL.len()],
    /// Bytes per second.
    pub(super) bandwidth: Option<f64>,
    /// Bytes in the window.
    pub(super) flow: Option<f64>,
    /// Bytes per second, the origin ratio's denominator.
    pub(super) edge: Option<f64>,
    /// Bytes per second, its numerator.
    pub(super) origin: Option<f64>,
    /// 0 to 1.
    pub(super) origin_ratio: Option<f64>,
    /// Since the end of the newest settled window; of the endpoint where it is longer.
    pub(super) age: Option<TimeDelta>,
}

/// One domain at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrackRow {
    pub(super) endpoint: Endpoint,
    pub(super) state: State,
    /// The end of the newest settled window, also when it is stale.
    pub(super) window_end: Option<DateTime<Utc>>,
}

impl<'a> Row<'a> {
    fn new(entry: &'a Entry, rule: &VisibilityRule, now: DateTime<Utc>) -> Self {
        let tracks = Endpoint::ALL.map(|endpoint| {
            entry.track(endpoint).map(|track| TrackRow {
                endpoint,
                state: State::of(track, rule, now),
                window_end: track
                    .series
                    .newest_until(rule.newest_settled(now))
                    .map(|reading| reading.window.end()),
            })
        });
        let shown =
            Endpoint::ALL.map(|endpoint| entry.track(endpoint).and_then(|track| track.selected(rule, now)));
        let value = |field: Field| {
            shown
                .get(field.endpoint().index())
                .copied()
                .flatten()
                .and_then(|selected| selected.values.get(field))
        };
        let known = || tracks.iter().flatten();
        Self {
            entry,
            state: known().map(|track| track.state).max().unwrap_or(State::NoData),
            bandwidth: value(Field::Bandwidth),
            flow: value(Field::Flow),
            edge: value(Field::EdgeBandwidth),
            origin: value(Field::OriginBandwidth),
            origin_ratio: value(Field::OriginRatio),
            age: known()
                .filter_map(|track| track.window_end)
                .map(|end| now.signed_duration_since(end))
                .max(),
            tracks,
        }
    }

    /// The endpoints whose last poll failed, and why.
    pub(super) fn failures(&self) -> impl Iterator<Item = (Endpoint, Reason)> {
        self.tracks
            .iter()
            .flatten()
            .filter_map(|track| match track.state {
                State::Failing(reason) => Some((track.endpoint, reason)),
                _ => None,
            })
    }

    /// What numeric orders go by; `None` stands last in either direction.
    fn measure(&self, sort: Sort) -> Option<f64> {
        match sort {
            Sort::Domain | Sort::State => None,
            Sort::Bandwidth => self.bandwidth,
            Sort::Flow => self.flow,
            Sort::OriginRatio => self.origin_ratio,
            Sort::Age => self.age.map(TimeDelta::as_seconds_f64),
        }
    }
}

/// The domains that match, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// By place in [`StateKind::ALL`], of the domains whose name matches, in whatever state.
    pub(super) states: [usize; StateKind::ALL.len()],
    /// Bytes per second, of those that have it.
    pub(super) bandwidth: Option<f64>,
    /// From sums, as a ratio of domains of different size must be.
    pub(super) origin_ratio: Option<f64>,
}

impl Summary {
    fn new(rows: &[Row<'_>]) -> Self {
        let sum = |values: &mut dyn Iterator<Item = f64>| values.reduce(|a, b| a + b);
        let pairs = || rows.iter().filter_map(|row| Some((row.origin?, row.edge?)));
        let origin = sum(&mut pairs().map(|(origin, _)| origin));
        let edge = sum(&mut pairs().map(|(_, edge)| edge));
        Self {
            states: StateKind::ALL.map(|kind| rows.iter().filter(|row| row.state.kind() == kind).count()),
            bandwidth: sum(&mut rows.iter().filter_map(|row| row.bandwidth)),
            origin_ratio: origin
                .zip(edge)
                .filter(|(_, edge)| *edge > 0.0)
                .map(|(origin, edge)| origin / edge),
        }
    }
}

/// What the page shows.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    pub(super) status: &'a Status,
    /// Of the domains whose name matches.
    pub(super) summary: Summary,
    /// How many match name and state.
    pub(super) matched: usize,
    /// Those of them that the page has room for, in order.
    pub(super) rows: Vec<Row<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn new(status: &'a Status, query: &Query) -> Self {
        let mut rows: Vec<Row<'a>> = status
            .snapshot
            .entries
            .iter()
            .filter(|entry| entry.domain.as_str().contains(&query.part))
            .map(|entry| Row::new(entry, &status.snapshot.rule, status.now))
            .collect();
        let summary = Summary::new(&rows);
        rows.retain(|row| query.state.is_none_or(|state| row.state.kind() == state));
        sort(&mut rows, query.sort, query.descending);
        Self {
            status,
            summary,
            matched: rows.len(),
            rows: rows.into_iter().skip(query.offset).take(query.limit).collect(),
        }
    }

    /// The query of the rows that follow, if there are any.
    pub(super) fn next(&self, query: &Query) -> Option<Query> {
        let next = query.offset.saturating_add(self.rows.len());
        (!self.rows.is_empty() && next < self.matched).then(|| query.at(next))
    }

    /// The settled windows' values of a field, oldest first; for each row the same windows.
    pub(super) fn recent(&self, row: &Row<'_>, field: Field) -> Vec<Option<f64>> {
        let settled = self.status.snapshot.rule.settled(self.status.now);
        let first = settled.first.max(settled.last.minus(RECENT - 1));
        let length = settled.last.places_after(first).map_or(0, |places| places + 1);
        let mut values = vec![None; length];
        let readings = row
            .entry
            .track(field.endpoint())
            .into_iter()
            .flat_map(|track| track.series.iter().rev())
            .skip_while(|reading| reading.window > settled.last)
            .take_while(|reading| reading.window >= first);
        for reading in readings {
            let place = reading.window.places_after(first);
            if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                *value = reading.values.get(field);
            }
        }
        values
    }
}

/// Orders rows that stand in order of their names; equal ones stay so.
fn sort(rows: &mut [Row<'_>], sort: Sort, descending: bool) {
    match (sort, descending) {
        (Sort::Domain, false) => {}
        (Sort::Domain, true) => rows.reverse(),
        (Sort::State, false) => rows.sort_by_key(|row| row.state),
        (Sort::State, true) => rows.sort_by_key(|row| std::cmp::Reverse(row.state)),
        _ => rows.sort_by(|a, b| {
            match (a.measure(sort), b.measure(sort)) {
                (Some(a), Some(b)) if descending => b.total_cmp(&a),
                (Some(a), Some(b)) => a.total_cmp(&b),
                // Present before absent.
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        }),
    }
}
