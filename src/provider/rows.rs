//! Collects the readings of a reply, of both endpoints: checks them against what was asked for,
//! orders them, and makes repeated windows one.

use chrono::FixedOffset;
use serde_json::value::RawValue;

use super::wire::{Quantity, integer, label, unquoted};
use crate::model::{Answer, Domain, Field, Reading, Reject, Rejects, Units, Values, Window, WindowRange};

/// What was asked for; a reply is read against it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The domains of the call, in its order.
    pub domains: &'a [Domain],
    /// The windows of the call.
    pub range: WindowRange,
    /// The provider's zone, of labels that are local times.
    pub zone: FixedOffset,
    /// What the provider's "M" means.
    pub units: Units,
}

/// The readings of a reply as they come in: unsorted, repeated, of any domain.
pub(super) struct Rows<'a> {
    asked: Asked<'a>,
    readings: Vec<Vec<Reading>>,
    rejects: Rejects,
    /// Where the next domain is looked for first: replies keep the order of the call.
    hint: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(asked: &Asked<'a>) -> Self {
        Self {
            asked: *asked,
            readings: vec![Vec::new(); asked.domains.len()],
            rejects: Rejects::default(),
            hint: 0,
        }
    }

    pub(super) fn reject(&mut self, kind: Reject) {
        self.rejects.add(kind);
    }

    /// The place in the call of a domain that the reply names; one that was not asked for is
    /// counted and gives `None`.
    pub(super) fn domain(&mut self, name: &str) -> Option<usize> {
        let domains = self.asked.domains;
        let found = (self.hint..domains.len())
            .chain(0..self.hint.min(domains.len()))
            .find(|place| domains.get(*place).is_some_and(|domain| domain.matches(name)));
        match found {
            Some(place) => self.hint = place + 1,
            None => self.reject(Reject::UnknownDomain),
        }
        found
    }

    /// The window that a local-time label names, if it was asked for; others are counted.
    pub(super) fn window_of_label(&mut self, text: &str) -> Option<Window> {
        let time = label(text, self.asked.zone);
        self.window(time)
    }

    /// The same for an epoch, or a label in its place.
    pub(super) fn window_of_epoch(&mut self, raw: &RawValue) -> Option<Window> {
        let time = integer(raw).or_else(|| label(unquoted(raw.get()), self.asked.zone));
        self.window(time)
    }

    fn window(&mut self, unix_seconds: Option<i64>) -> Option<Window> {
        let Some(window) = unix_seconds.and_then(Window::ending_at) else {
            self.reject(Reject::Time);
            return None;
        };
        if !self.asked.range.contains(window) {
            self.reject(Reject::OutOfRange);
            return None;
        }
        Some(window)
    }

    /// Takes over the values of a domain for a window; none at all is counted as a shape.
    pub(super) fn push(&mut self, place: usize, window: Window, values: Values) {
        if values.is_empty() {
            self.reject(Reject::Shape);
        } else if let Some(rows) = self.readings.get_mut(place) {
            reserve(rows, self.asked.range);
            rows.push(Reading { window, values });
        }
    }

    /// Adds a reading to rows whose domain is not known yet.
    pub(super) fn collect(&self, rows: &mut Vec<Reading>, reading: Reading) {
        reserve(rows, self.asked.range);
        rows.push(reading);
    }

    /// Takes over the rows of a domain.
    pub(super) fn extend(&mut self, place: usize, readings: Vec<Reading>) {
        if let Some(rows) = self.readings.get_mut(place) {
            if rows.is_empty() {
                *rows = readings;
            } else {
                rows.extend(readings);
            }
        }
    }

    /// Sets a field from its place in the reply, converted by `convert`.
    pub(super) fn set(
        &mut self,
        values: &mut Values,
        field: Field,
        raw: &RawValue,
        convert: impl Fn(Units, f64) -> f64,
    ) {
        match Quantity::parse(raw) {
            Quantity::Given(value) => match convert(self.asked.units, value) {
                value if value.is_finite() => values.set(field, value),
                _ => self.reject(Reject::Value),
            },
            Quantity::NotGiven => {}
            Quantity::Unusable => self.reject(Reject::Value),
        }
    }

    /// The readings, ascending, one per window.
    pub(super) fn finish(mut self) -> Answer {
        for rows in &mut self.readings {
            if !rows.is_sorted_by(|a, b| a.window < b.window) {
                rows.sort_by_key(|reading| reading.window);
                let rejects = &mut self.rejects;
                rows.dedup_by(|later, kept| {
                    later.window == kept.window && {
                        if combine(&mut kept.values, later.values) {
                            rejects.add(Reject::Contradiction);
                        }
                        true
                    }
                });
            }
        }
        Answer {
            readings: self.readings,
            rejects: self.rejects,
        }
    }
}

/// Makes room for every window of the call at once: the one allocation of a domain's readings.
fn reserve(rows: &mut Vec<Reading>, range: WindowRange) {
    if rows.is_empty() {
        rows.reserve_exact(range.count());
    }
}

/// Takes over the fields of a later row of the same window; says whether one of them contradicts.
fn combine(kept: &mut Values, later: Values) -> bool {
    let mut contradicts = false;
    for field in Field::ALL {
        if let Some(value) = later.get(field) {
            contradicts |= kept
                .get(field)
                .is_some_and(|old| old.to_bits() != value.to_bits());
            kept.set(field, value);
        }
    }
    contradicts
}
