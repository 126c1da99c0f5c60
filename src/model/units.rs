//! What the provider's figures and labels mean for an account: settings, since replies cannot tell.

use crate::model::{Window, WindowRange};

/// What the provider's "M" means for an account. Its documents contradict each other (1000 in the
/// 2022 FAQ, 1024 in the documented example), and `flow = bandwidth * 37.5` holds in either base,
/// so replies cannot reveal it: it is a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// 1 M = 1,000,000.
    Decimal,
    /// 1 M = 2^20 = 1,048,576.
    Binary,
}

/// Which end of a 5-minute window its label names. The documents do not say; requests are in the
/// same labels as replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelledBy {
    /// As this exporter names windows.
    #[default]
    End,
    /// The label is 5 minutes earlier.
    Start,
}

impl LabelledBy {
    /// The window whose end is the label of this one.
    #[must_use]
    pub fn label_of(self, window: Window) -> Window {
        match self {
            Self::End => window,
            Self::Start => window.minus(1),
        }
    }

    /// The window that a label means, given the window whose end it is.
    #[must_use]
    pub fn meant_by(self, label: Window) -> Window {
        match self {
            Self::End => label,
            Self::Start => label.plus(1),
        }
    }

    /// The labels of a range, as a request for it must name them.
    #[must_use]
    pub fn labels_of(self, range: WindowRange) -> WindowRange {
        WindowRange {
            first: self.label_of(range.first),
            last: self.label_of(range.last),
        }
    }
}

impl Units {
    const fn mega(self) -> f64 {
        match self {
            Self::Decimal => 1_000_000.0,
            Self::Binary => 1_048_576.0,
        }
    }

    /// Mbit/s to bytes per second.
    #[must_use]
    pub fn bytes_per_second(self, megabits_per_second: f64) -> f64 {
        megabits_per_second * (self.mega() / 8.0)
    }

    /// MB to bytes.
    #[must_use]
    pub fn bytes(self, megabytes: f64) -> f64 {
        megabytes * self.mega()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_five_minutes_before_the_end() {
        let window = Window::ending_at(1_800_000_300).unwrap();
        let range = WindowRange {
            first: window.minus(11),
            last: window,
        };
        for (labelled_by, label) in [
            (LabelledBy::End, 1_800_000_300),
            (LabelledBy::Start, 1_800_000_000),
        ] {
            let labels = labelled_by.labels_of(range);
            assert_eq!(labels.last.end_seconds(), label);
            assert_eq!(labels.count(), 12);
            assert_eq!(labelled_by.meant_by(labels.last), window);
        }
    }

    #[test]
    fn both_bases_convert_the_documented_example() {
        // 4577.64 MB and 122.07 Mbit/s: 4,800,000,000 bytes and 128,000,000 bit/s in base 2^20.
        assert!((Units::Binary.bytes(4577.64) - 4_800_000_000.0).abs() < 5_000.0);
        assert!((Units::Binary.bytes_per_second(122.07) - 16_000_000.0).abs() < 700.0);
        assert!((Units::Decimal.bytes(4577.64) - 4_577_640_000.0).abs() < f64::EPSILON);
        assert!((Units::Decimal.bytes_per_second(6.1) - 762_500.0).abs() < f64::EPSILON);
    }
}
