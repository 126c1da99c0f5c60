//! The lines of both exposition formats: headers, samples, escapes and numbers.

use std::io::{self, Write};

use crate::exposition::Format;

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// The word in the TYPE line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The units that our names end in, longest first.
const UNITS: [&str; 4] = ["bytes_per_second", "seconds", "bytes", "ratio"];

/// The unit that a family's name (without `_total`) ends in. OpenMetrics wants exactly that.
#[must_use]
pub fn unit(family: &str) -> Option<&'static str> {
    UNITS
        .into_iter()
        .find(|unit| family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

/// Writes HELP, TYPE and, in OpenMetrics, UNIT. OpenMetrics names a counter's family without the
/// `_total` of its samples, and escapes quotes in HELP, which text 0.0.4 does not.
///
/// # Errors
/// Those of `out`.
pub fn header(out: &mut impl Write, format: Format, name: &str, kind: Kind, help: &str) -> io::Result<()> {
    let bare = name.strip_suffix("_total").filter(|_| kind == Kind::Counter);
    let family = match format {
        Format::Text => name,
        Format::OpenMetrics => bare.unwrap_or(name),
    };
    write!(out, "# HELP {family} ")?;
    match format {
        Format::Text => escape(out, help, b"\\\n")?,
        Format::OpenMetrics => escape(out, help, b"\\\n\"")?,
    }
    writeln!(out, "\n# TYPE {family} {}", kind.name())?;
    match (format, unit(family)) {
        (Format::OpenMetrics, Some(unit)) => writeln!(out, "# UNIT {family} {unit}"),
        _ => Ok(()),
    }
}

/// Writes one sample: the name, its labels if any, and a value that is already text.
///
/// # Errors
/// Those of `out`.
pub fn sample<'a>(
    out: &mut impl Write,
    name: &str,
    suffix: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: &str,
) -> io::Result<()> {
    out.write_all(name.as_bytes())?;
    out.write_all(suffix.as_bytes())?;
    let mut before: &[u8] = b"{";
    for (label, text) in labels {
        out.write_all(before)?;
        out.write_all(label.as_bytes())?;
        out.write_all(b"=\"")?;
        label_value(out, text)?;
        before = b"\",";
    }
    out.write_all(if before == b"{" { b" " } else { b"\"} " })?;
    out.write_all(value.as_bytes())?;
    out.write_all(b"\n")
}

/// Writes the text between a label's quotes; the same in both formats.
///
/// # Errors
/// Those of `out`.
pub fn label_value(out: &mut impl Write, text: &str) -> io::Result<()> {
    escape(out, text, b"\\\n\"")
}

fn escape(out: &mut impl Write, text: &str, special: &[u8]) -> io::Result<()> {
    for piece in text.as_bytes().split_inclusive(|byte| special.contains(byte)) {
        match piece.split_last() {
            Some((last, plain)) if special.contains(last) => {
                out.write_all(plain)?;
                out.write_all(&[b'\\', if *last == b'\n' { b'n' } else { *last }])?;
            }
            _ => out.write_all(piece)?,
        }
    }
    Ok(())
}

/// Turns numbers into text, in a buffer of its own.
#[derive(Default)]
pub struct Number {
    float: zmij::Buffer,
    integer: itoa::Buffer,
}

impl Number {
    /// Buffers for one number at a time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sample's value: the shortest text that reads back as the same number.
    pub fn value(&mut self, value: f64) -> &str {
        let text = self.float.format(value);
        text.strip_suffix(".0").unwrap_or(text)
    }

    /// A whole number.
    pub fn integer(&mut self, value: impl itoa::Integer) -> &str {
        self.integer.format(value)
    }

    /// A bucket's bound: always with a point, as OpenMetrics asks, in both formats, so that a
    /// series has the same labels whichever format was negotiated.
    pub fn bound(&mut self, bound: f64) -> &str {
        if bound == f64::INFINITY {
            "+Inf"
        } else {
            self.float.format(bound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn headers_follow_the_rules_of_each_format() {
        let help = "back\\slash \"quoted\"\nline";
        for (format, name, kind, expected) in [
            (
                Format::Text,
                "a_seconds_total",
                Kind::Counter,
                "# HELP a_seconds_total back\\\\slash \"quoted\"\\nline\n# TYPE a_seconds_total counter\n",
            ),
            (
                Format::OpenMetrics,
                "a_seconds_total",
                Kind::Counter,
                "# HELP a_seconds back\\\\slash \\\"quoted\\\"\\nline\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n",
            ),
            (
                Format::OpenMetrics,
                "things",
                Kind::Gauge,
                "# HELP things back\\\\slash \\\"quoted\\\"\\nline\n# TYPE things gauge\n",
            ),
        ] {
            assert_eq!(text(|out| header(out, format, name, kind, help)), expected);
        }
    }

    #[test]
    fn units_are_the_last_words_of_a_name() {
        for (family, expected) in [
            ("x_bandwidth_bytes_per_second", Some("bytes_per_second")),
            ("x_flow_bytes", Some("bytes")),
            ("x_origin_ratio", Some("ratio")),
            ("x_cpu_seconds", Some("seconds")),
            ("x_limit_per_second", None),
            ("x_up", None),
            ("seconds", None),
        ] {
            assert_eq!(unit(family), expected, "{family}");
        }
    }

    #[test]
    fn labels_are_escaped_and_other_letters_are_kept() {
        for (given, expected) in [
            ("plain", "plain"),
            ("a\\b\"c\nd", "a\\\\b\\\"c\\nd"),
            ("\n", "\\n"),
            ("", ""),
            ("京东", "京东"),
        ] {
            assert_eq!(text(|out| label_value(out, given)), expected);
        }
        assert_eq!(
            text(|out| sample(out, "m", "_sum", [("a", "1"), ("b", "\"")], "2")),
            "m_sum{a=\"1\",b=\"\\\"\"} 2\n"
        );
        assert_eq!(text(|out| sample(out, "m", "", [], "2")), "m 2\n");
    }

    #[test]
    fn numbers_are_short_and_bounds_have_a_point() {
        let mut number = Number::new();
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.2362, "0.2362"),
            (762_500.0, "762500"),
            (4_577_640_000.0, "4577640000"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(number.value(value), expected);
        }
        for value in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e300, 123_456_789.125] {
            let read: f64 = number.value(value).parse().unwrap();
            assert_eq!(read.to_bits(), value.to_bits());
        }
        assert_eq!(number.integer(1_800_000_000_i64), "1800000000");
        for (bound, expected) in [
            (0.005, "0.005"),
            (1.0, "1.0"),
            (86_400.0, "86400.0"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number.bound(bound), expected);
        }
    }
}
