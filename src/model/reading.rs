//! What one reply gives: the values of each domain for each window, and what was refused.

use crate::model::{Endpoint, Field, Window};

/// The values of one domain for one window from one endpoint, in bytes, bytes per second and
/// ratios. A field that the provider did not give is absent, never 0.
#[derive(Clone, Copy, Debug)]
pub struct Values([f64; Self::WIDTH]);

impl Values {
    /// The widest endpoint's number of fields.
    pub const WIDTH: usize = 3;

    /// No field given.
    pub const NONE: Self = Self([f64::NAN; Self::WIDTH]);

    /// The value of a field, if the provider gave one.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<f64> {
        self.0
            .get(field.column())
            .copied()
            .filter(|value| !value.is_nan())
    }

    /// Sets a field; a value that is no finite number leaves it absent.
    pub fn set(&mut self, field: Field, value: f64) {
        if let Some(place) = self.0.get_mut(field.column()) {
            *place = if value.is_finite() { value } else { f64::NAN };
        }
    }

    /// These values with a field set.
    #[must_use]
    pub fn with(mut self, field: Field, value: f64) -> Self {
        self.set(field, value);
        self
    }

    /// Whether no field is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|value| value.is_nan())
    }

    /// The raw columns of an endpoint; NaN where absent.
    #[must_use]
    pub fn columns(&self, endpoint: Endpoint) -> &[f64] {
        self.0.get(..endpoint.width()).unwrap_or(&self.0)
    }

    /// From raw columns; missing ones are absent.
    #[must_use]
    pub fn from_columns(columns: &[f64]) -> Self {
        let mut values = Self::NONE;
        for (place, value) in values.0.iter_mut().zip(columns) {
            *place = *value;
        }
        values
    }
}

impl PartialEq for Values {
    /// Absent equals absent: bits are compared, so NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
    }
}

/// One window's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The window that the values belong to.
    pub window: Window,
    /// The values.
    pub values: Values,
}

/// Why a part of a reply was refused; the closed set of the `reason` label of
/// `jdcloud_cdn_exporter_rejects_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// A field that is not a finite number from 0 up.
    Value,
    /// A window label that cannot be read, or is no multiple of 5 minutes.
    Time,
    /// A window outside the range that was asked for.
    OutOfRange,
    /// A second, different reading of the same window in one reply; the later one is kept.
    Contradiction,
    /// A domain that was not asked for.
    UnknownDomain,
    /// A row of another shape than the documents describe, or one without any value.
    Shape,
}

impl Reject {
    /// Every kind, in the order of its place in [`Rejects`].
    pub const ALL: [Self; 6] = [
        Self::Value,
        Self::Time,
        Self::OutOfRange,
        Self::Contradiction,
        Self::UnknownDomain,
        Self::Shape,
    ];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Time => "time",
            Self::OutOfRange => "out_of_range",
            Self::Contradiction => "contradiction",
            Self::UnknownDomain => "unknown_domain",
            Self::Shape => "shape",
        }
    }
}

/// How many parts of a reply were refused, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejects([u64; Reject::ALL.len()]);

impl Rejects {
    /// Counts one more.
    pub fn add(&mut self, kind: Reject) {
        if let Some(place) = Reject::ALL
            .iter()
            .position(|k| *k == kind)
            .and_then(|i| self.0.get_mut(i))
        {
            *place += 1;
        }
    }

    /// Adds another reply's counts.
    pub fn merge(&mut self, other: Self) {
        for (place, more) in self.0.iter_mut().zip(other.0) {
            *place += more;
        }
    }

    /// The counts by kind.
    pub fn iter(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.into_iter().zip(self.0)
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What one successful call gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// For each domain that was asked for, in that order: its readings, ascending by window, one
    /// per window.
    pub readings: Vec<Vec<Reading>>,
    /// What was refused.
    pub rejects: Rejects,
}
