//! How far a backfill is: a bar on a terminal, a line now and then elsewhere; both on standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// What the bar shows. The template is a constant, so that a test proves it readable.
const TEMPLATE: &str = "{bar:40} {human_pos} of {human_len} windows, {elapsed} gone, {eta} to go";

/// Where no terminal is, progress is told of in steps of one tenth.
const STEPS: u64 = 10;

/// Counts windows, each once for every domain and endpoint.
pub(super) struct Progress {
    bar: ProgressBar,
    told: u64,
}

impl Progress {
    /// So many windows are to be read.
    pub(super) fn new(windows: u64) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::new(windows).with_style(style),
            told: 0,
        }
    }

    /// So many more are done, whatever came of them.
    pub(super) fn done(&mut self, windows: usize) {
        self.bar.inc(u64::try_from(windows).unwrap_or(0));
        let (position, length) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let step = (position * STEPS).checked_div(length).unwrap_or(STEPS);
        if self.bar.is_hidden() && step > self.told {
            self.told = step;
            tracing::info!(windows = position, of = length, "reading");
        }
    }

    /// Takes the bar off the terminal.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
