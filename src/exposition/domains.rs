//! Writes the metrics of all domains as one snapshot shows them at one instant.

use std::io::{self, Write};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::exposition::Format;
use crate::exposition::encode::{Kind, Number, header, label_value, sample};
use crate::exposition::families::{FAMILIES, Family, Source};
use crate::model::{Endpoint, Entry, Field, Selected, Snapshot, VisibilityRule, Window};

/// What one domain shows at one endpoint; chosen once, so that all families agree.
#[derive(Clone, Copy, Default)]
struct Shown {
    selected: Option<Selected>,
    /// `None` where the domain is not read through the endpoint.
    up: Option<bool>,
}

impl Shown {
    fn window_end(&self) -> Option<i64> {
        Some(self.selected?.window.end_seconds())
    }

    fn up(&self) -> Option<i64> {
        self.up.map(i64::from)
    }
}

type Row = [Shown; Endpoint::ALL.len()];
type Entries = [Arc<Entry>];

/// Writes every family that has a sample, and returns the next instant at which the text may change
/// by itself: before it, the same snapshot gives the same text.
///
/// # Errors
/// Those of `out`.
pub fn render_domains(
    snapshot: &Snapshot,
    now: DateTime<Utc>,
    format: Format,
    out: &mut impl Write,
) -> io::Result<Option<DateTime<Utc>>> {
    let rule = &snapshot.rule;
    let mut missing = [0_usize; Endpoint::ALL.len()];
    let rows: Vec<Row> = snapshot
        .entries
        .iter()
        .map(|entry| {
            let mut row = Row::default();
            for ((shown, missing), track) in row.iter_mut().zip(&mut missing).zip(&entry.tracks) {
                let Some(track) = track else { continue };
                shown.selected = track.selected(rule, now);
                shown.up = Some(track.is_up(rule, now));
                *missing += track.missing(rule, now);
            }
            row
        })
        .collect();

    let cross_check = snapshot.cross_check(now);
    let mut page = Writer {
        format,
        out,
        number: Number::new(),
    };
    for family in &FAMILIES {
        match family.source {
            Source::Field(field) => page.field(family, field, &snapshot.entries, &rows)?,
            Source::WindowEnd => page.by_endpoint(family, &snapshot.entries, &rows, Shown::window_end)?,
            Source::Up => page.by_endpoint(family, &snapshot.entries, &rows, Shown::up)?,
            Source::Account => page.accounts(family, &snapshot.entries)?,
            Source::Missing => page.missing(family, missing)?,
            Source::Settle => page.single(family, Some(rule.settle.as_seconds_f64()))?,
            Source::Difference => page.single(family, cross_check.difference)?,
            Source::LabelOffset => page.single(family, cross_check.offset.map(f64::from))?,
        }
    }
    Ok(next_change(rule, now))
}

/// The next instant at which what a snapshot shows may change by itself. Windows end on a grid of 5
/// minutes, so they settle, leave the horizon and go stale on that grid, shifted by the rule's
/// durations. Asking each domain for its own next change gives the same instants in practice, since
/// some window settles every 5 minutes, and took a third of the rendering.
fn next_change(rule: &VisibilityRule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // "Older than" is exclusive, so a window goes stale one tick of the clock after the boundary.
    let stale = rule.stale_after + TimeDelta::nanoseconds(1);
    next_step([rule.settle, rule.horizon, stale], now)
}

/// The next instant at which some window is as old as one of the lags.
pub(super) fn next_step<const COUNT: usize>(
    lags: [TimeDelta; COUNT],
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    lags.into_iter()
        .filter_map(|lag| {
            let behind = now.checked_sub_signed(lag)?;
            let next = Window::newest_ended(behind).plus(1);
            next.end().checked_add_signed(lag)
        })
        .min()
}

/// Writes families line by line. Domain and endpoint names need no escaping: both are checked.
struct Writer<'a, W> {
    format: Format,
    out: &'a mut W,
    number: Number,
}

impl<W: Write> Writer<'_, W> {
    fn field(&mut self, family: &Family, field: Field, entries: &Entries, rows: &[Row]) -> io::Result<()> {
        let place = field.endpoint().index();
        let samples = entries.iter().zip(rows).filter_map(|(entry, row)| {
            let value = row.get(place)?.selected?.values.get(field)?;
            Some((entry, value))
        });
        let prefix = prefix(family);
        for (n, (entry, value)) in samples.enumerate() {
            self.header_before(n, family)?;
            self.out.write_all(prefix.as_bytes())?;
            self.out.write_all(entry.domain.as_str().as_bytes())?;
            self.out.write_all(b"\"} ")?;
            self.out.write_all(self.number.value(value).as_bytes())?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// A sample for each domain and endpoint of which `value` makes a whole number.
    fn by_endpoint(
        &mut self,
        family: &Family,
        entries: &Entries,
        rows: &[Row],
        value: fn(&Shown) -> Option<i64>,
    ) -> io::Result<()> {
        let prefix = prefix(family);
        let endings = Endpoint::ALL.map(|endpoint| format!("\",endpoint=\"{endpoint}\"}} "));
        let samples = entries.iter().zip(rows).flat_map(|(entry, row)| {
            let lines = row.iter().zip(&endings);
            lines.filter_map(move |(shown, ending)| Some((entry, ending, value(shown)?)))
        });
        for (n, (entry, ending, value)) in samples.enumerate() {
            self.header_before(n, family)?;
            self.out.write_all(prefix.as_bytes())?;
            self.out.write_all(entry.domain.as_str().as_bytes())?;
            self.out.write_all(ending.as_bytes())?;
            self.out.write_all(self.number.integer(value).as_bytes())?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn accounts(&mut self, family: &Family, entries: &Entries) -> io::Result<()> {
        let prefix = prefix(family);
        for (n, entry) in entries.iter().enumerate() {
            self.header_before(n, family)?;
            self.out.write_all(prefix.as_bytes())?;
            self.out.write_all(entry.domain.as_str().as_bytes())?;
            self.out.write_all(b"\",account=\"")?;
            label_value(self.out, entry.account.as_str())?;
            self.out.write_all(b"\"} 1\n")?;
        }
        Ok(())
    }

    fn missing(&mut self, family: &Family, missing: [usize; Endpoint::ALL.len()]) -> io::Result<()> {
        header(self.out, self.format, family.name, Kind::Gauge, family.help)?;
        for (endpoint, missing) in Endpoint::ALL.into_iter().zip(missing) {
            let value = self.number.integer(missing);
            sample(self.out, family.name, "", [("endpoint", endpoint.name())], value)?;
        }
        Ok(())
    }

    /// A family without labels.
    fn single(&mut self, family: &Family, value: Option<f64>) -> io::Result<()> {
        let Some(value) = value else { return Ok(()) };
        header(self.out, self.format, family.name, Kind::Gauge, family.help)?;
        sample(self.out, family.name, "", [], self.number.value(value))
    }

    /// A family without a sample has no header either, so the header waits for the first one.
    fn header_before(&mut self, sample: usize, family: &Family) -> io::Result<()> {
        if sample == 0 {
            header(self.out, self.format, family.name, Kind::Gauge, family.help)?;
        }
        Ok(())
    }
}

/// What each line of a family with a `domain` label begins with.
fn prefix(family: &Family) -> String {
    format!("{}{{domain=\"", family.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_when_windows_settle_go_stale_or_leave_the_horizon() {
        let rule = VisibilityRule {
            settle: TimeDelta::seconds(610),
            stale_after: TimeDelta::minutes(42),
            horizon: TimeDelta::minutes(63),
        };
        let at = |clock: &str| -> DateTime<Utc> { format!("2026-11-22T{clock}Z").parse().unwrap() };
        for (now, next) in [
            // 11:50:00 settles, 11:20:00 goes stale, 11:00:00 leaves; then 11:55:00 settles.
            ("12:00:00", "12:00:10"),
            ("12:00:09.999", "12:00:10"),
            ("12:00:10", "12:02:00.000000001"),
            ("12:02:00", "12:02:00.000000001"),
            ("12:02:00.000000001", "12:03:00"),
            ("12:03:00", "12:05:10"),
        ] {
            assert_eq!(next_change(&rule, at(now)), Some(at(next)), "{now}");
        }
    }
}
