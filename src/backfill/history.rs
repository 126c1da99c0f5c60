//! What a backfill has read so far: one dense row of numbers for each domain at each endpoint.

use crate::model::{Domain, Endpoint, Field, Reading, Window, WindowRange};

/// Every window of a range, of one domain at one endpoint. Takes 8 bytes a field and window whether it
/// has been read or not: 16 at `bandwidth_flow`, 24 at `origin_ratio`.
#[derive(Clone, Debug)]
pub struct History {
    /// Whose.
    pub domain: Domain,
    /// From where.
    pub endpoint: Endpoint,
    range: WindowRange,
    columns: Vec<f64>,
}

impl History {
    /// A history without any reading.
    #[must_use]
    pub fn new(domain: Domain, endpoint: Endpoint, range: WindowRange) -> Self {
        Self {
            domain,
            endpoint,
            range,
            columns: vec![f64::NAN; range.count() * endpoint.width()],
        }
    }

    /// Takes over readings, in any order; those of windows outside the range are not its own.
    pub fn fill(&mut self, readings: &[Reading]) {
        for reading in readings {
            let values = reading.values.columns(self.endpoint);
            for (place, value) in self.row_mut(reading.window).iter_mut().zip(values) {
                *place = *value;
            }
        }
    }

    /// The raw values of consecutive windows, NaN where absent; empty if they are not all its own.
    #[must_use]
    pub fn rows(&self, range: WindowRange) -> &[f64] {
        let width = self.endpoint.width();
        range
            .first
            .places_after(self.range.first)
            .and_then(|place| self.columns.get(place * width..(place + range.count()) * width))
            .unwrap_or_default()
    }

    /// Sets the raw values of consecutive windows; `false`, and nothing is set, if they do not fit.
    #[must_use]
    pub fn set_rows(&mut self, range: WindowRange, rows: &[f64]) -> bool {
        let width = self.endpoint.width();
        let place = range.first.places_after(self.range.first);
        let own = place.and_then(|place| {
            self.columns
                .get_mut(place * width..(place + range.count()) * width)
        });
        match own {
            Some(own) if own.len() == rows.len() => {
                own.copy_from_slice(rows);
                true
            }
            _ => false,
        }
    }

    /// The values of a field, oldest first, each with its window.
    pub fn values(&self, field: Field) -> impl Iterator<Item = (Window, f64)> + '_ {
        let own = field.endpoint() == self.endpoint;
        self.rows_of_windows()
            .filter(move |_| own)
            .filter_map(move |(window, row)| {
                let value = row.get(field.column()).copied()?;
                (!value.is_nan()).then_some((window, value))
            })
    }

    /// How many windows it should have.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.range.count()
    }

    /// How many windows have at least one value.
    #[must_use]
    pub fn present(&self) -> usize {
        self.rows_of_windows()
            .filter(|(_, row)| row.iter().any(|value| !value.is_nan()))
            .count()
    }

    fn rows_of_windows(&self) -> impl Iterator<Item = (Window, &[f64])> {
        let windows = (0..).map(|place| self.range.first.plus(place));
        windows.zip(self.columns.chunks_exact(self.endpoint.width()))
    }

    fn row_mut(&mut self, window: Window) -> &mut [f64] {
        let width = self.endpoint.width();
        window
            .places_after(self.range.first)
            .and_then(|place| self.columns.get_mut(place * width..(place + 1) * width))
            .unwrap_or_default()
    }
}
