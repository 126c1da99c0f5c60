//! How a backfill ended, for the operator: what was expected, written and missing.

use std::fmt;

use super::history::History;
use crate::model::{Domain, Endpoint};

/// One domain at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The domain.
    pub domain: Domain,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The windows of the range.
    pub expected: usize,
    /// Those with at least one value.
    pub written: usize,
}

impl Line {
    /// The windows without any value.
    #[must_use]
    pub const fn missing(&self) -> usize {
        self.expected.saturating_sub(self.written)
    }
}

/// How a backfill that was written ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Every domain at every endpoint that it is read through.
    pub lines: Vec<Line>,
    /// Samples written, all families together.
    pub samples: u64,
    /// Requests made in this run.
    pub requests: u64,
    /// Those of them that repeated one that had failed.
    pub retries: u64,
    /// Parts of replies that could not be used.
    pub rejects: u64,
    /// How many windows, each once for a domain and endpoint, an earlier run had read.
    pub resumed: usize,
}

impl Summary {
    pub(super) fn line(history: &History) -> Line {
        Line {
            domain: history.domain.clone(),
            endpoint: history.endpoint,
            expected: history.expected(),
            written: history.present(),
        }
    }

    /// Windows without any value, all domains and endpoints together.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.lines.iter().map(Line::missing).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.lines.iter().map(|line| line.domain.as_str().len());
        let width = names.max().unwrap_or(0).max("domain".len());
        writeln!(
            f,
            "{:width$}  {:14}  {:>9}  {:>9}  {:>9}",
            "domain", "endpoint", "expected", "written", "missing"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "{:width$}  {:14}  {:>9}  {:>9}  {:>9}",
                line.domain.as_str(),
                line.endpoint.name(),
                line.expected,
                line.written,
                line.missing()
            )?;
        }
        let sum = |count: fn(&Line) -> usize| self.lines.iter().map(count).sum::<usize>();
        writeln!(
            f,
            "{:width$}  {:14}  {:>9}  {:>9}  {:>9}",
            "all",
            "",
            sum(|line| line.expected),
            sum(|line| line.written),
            sum(Line::missing)
        )?;
        write!(
            f,
            "{} samples from {} requests ({} of them repeated); {} windows were kept from an earlier run; {} \
             parts of replies were unusable",
            self.samples, self.requests, self.retries, self.resumed, self.rejects
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_a_table_with_a_sum() {
        let line = |name, endpoint, written| Line {
            domain: Domain::parse(name).unwrap(),
            endpoint,
            expected: 288,
            written,
        };
        let summary = Summary {
            lines: vec![
                line("www.a.com", Endpoint::BandwidthFlow, 288),
                line("www.a.com", Endpoint::OriginRatio, 280),
            ],
            samples: 1416,
            requests: 3,
            retries: 1,
            rejects: 2,
            resumed: 0,
        };
        assert_eq!(summary.missing(), 8);
        assert_eq!(
            summary.to_string().lines().collect::<Vec<_>>(),
            [
                "domain     endpoint         expected    written    missing",
                "www.a.com  bandwidth_flow        288        288          0",
                "www.a.com  origin_ratio          288        280          8",
                "all                              576        568          8",
                "1416 samples from 3 requests (1 of them repeated); 0 windows were kept from an earlier run; 2 parts \
                 of replies were unusable",
            ]
        );
    }
}
