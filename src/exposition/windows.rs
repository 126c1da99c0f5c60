//! Writes every settled window of every domain with its own timestamp, piece by piece: the whole
//! text of a thousand domains and a day is 150 MB, so it is never held.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::exposition::Format;
use crate::exposition::domains::next_step;
use crate::exposition::encode::{Kind, Number, header};
use crate::exposition::window_families::{WINDOW_FAMILIES, WindowFamily};
use crate::model::{Entry, Snapshot, WindowRange};

/// A piece ends with the first domain that makes it this long, in bytes.
const PIECE: usize = 64 * 1024;

/// The text of `/windows` for one snapshot at one instant: an iterator over its pieces.
#[derive(Clone, Debug)]
pub struct WindowsText {
    snapshot: Arc<Snapshot>,
    settled: WindowRange,
    format: Format,
    /// What ends the line of each settled window: all series share the grid.
    endings: Vec<String>,
    family: usize,
    entry: usize,
    /// The present family's header has been written.
    headed: bool,
    ended: bool,
}

impl WindowsText {
    /// The windows that are settled at `now`.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, now: DateTime<Utc>, format: Format) -> Self {
        let settled = snapshot.rule.settled(now);
        // Text 0.0.4 counts milliseconds, OpenMetrics seconds.
        let milliseconds = match format {
            Format::Text => "000",
            Format::OpenMetrics => "",
        };
        let endings = (0..u32::try_from(settled.count()).unwrap_or(0))
            .map(|place| format!(" {}{milliseconds}\n", settled.first.plus(place).end_seconds()))
            .collect();
        Self {
            snapshot,
            settled,
            format,
            endings,
            family: 0,
            entry: 0,
            headed: false,
            ended: false,
        }
    }

    /// The next instant at which the same snapshot may give another text: a window settles or
    /// leaves the horizon.
    #[must_use]
    pub fn next_change(snapshot: &Snapshot, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        next_step([snapshot.rule.settle, snapshot.rule.horizon], now)
    }

    /// Adds the next piece to `out`; false once there is none left.
    pub(super) fn write_piece(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let snapshot = Arc::clone(&self.snapshot);
        while let Some(family) = WINDOW_FAMILIES.get(self.family) {
            while let Some(entry) = snapshot.entries.get(self.entry) {
                self.entry += 1;
                self.series(family, entry, out);
                if out.len() - start >= PIECE {
                    return true;
                }
            }
            (self.family, self.entry, self.headed) = (self.family + 1, 0, false);
        }
        if !self.ended {
            self.ended = true;
            out.extend_from_slice(self.format.end().as_bytes());
        }
        out.len() > start
    }

    /// The samples of one domain, oldest first; those of a family that has any follow its header.
    fn series(&mut self, family: &WindowFamily, entry: &Entry, out: &mut Vec<u8>) {
        let WindowFamily { name, field, help } = *family;
        let Some(track) = entry.track(field.endpoint()) else {
            return;
        };
        let prefix = format!("{name}{{domain=\"{}\"}} ", entry.domain.as_str());
        let mut number = Number::new();
        for (window, value) in track.series.field(field, self.settled) {
            let place = window.places_after(self.settled.first);
            let Some(ending) = place.and_then(|place| self.endings.get(place)) else {
                continue;
            };
            if !self.headed {
                self.headed = true;
                // Writing to memory cannot fail.
                let _ = header(out, self.format, name, Kind::Gauge, help);
            }
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(number.value(value).as_bytes());
            out.extend_from_slice(ending.as_bytes());
        }
    }
}

impl Iterator for WindowsText {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut piece = Vec::with_capacity(PIECE + PIECE / 2);
        self.write_piece(&mut piece).then(|| piece.into())
    }
}
