//! From histories to the text that time-series databases import: every sample under the end of its
//! window, a family's series together, each in time order.

use std::io::{self, Write};

use super::history::History;
use crate::exposition::encode::{Kind, Number, header, label_value};
use crate::exposition::{Format, WINDOW_FAMILIES, WindowFamily};

/// Writes all of it and tells how many samples that were. `more` is asked before each series; once it
/// says no, writing ends with [`io::ErrorKind::Interrupted`].
///
/// `OpenMetrics` carries timestamps in seconds, the text format in milliseconds.
///
/// # Errors
/// Those of `out`, and the interruption.
pub fn write(
    out: &mut impl Write,
    format: Format,
    histories: &[History],
    more: impl Fn() -> bool,
) -> io::Result<u64> {
    let mut samples = 0;
    for family in &WINDOW_FAMILIES {
        let mut series = histories
            .iter()
            .filter(|history| history.endpoint == family.field.endpoint())
            .peekable();
        if series.peek().is_some() {
            header(out, format, family.name, Kind::Gauge, family.help)?;
        }
        for history in series {
            if !more() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            samples += write_series(out, format, family, history)?;
        }
    }
    out.write_all(format.end().as_bytes())?;
    out.flush()?;
    Ok(samples)
}

fn write_series(
    out: &mut impl Write,
    format: Format,
    family: &WindowFamily,
    history: &History,
) -> io::Result<u64> {
    // What each line of a series starts with is put together once.
    let mut line = Vec::new();
    write!(line, "{}{{domain=\"", family.name)?;
    label_value(&mut line, history.domain.as_str())?;
    line.extend_from_slice(b"\"} ");
    let start = line.len();
    let end: &[u8] = match format {
        Format::OpenMetrics => b"\n",
        Format::Text => b"000\n",
    };
    let mut number = Number::new();
    let mut samples = 0;
    for (window, value) in history.values(family.field) {
        line.truncate(start);
        line.extend_from_slice(number.value(value).as_bytes());
        line.push(b' ');
        line.extend_from_slice(number.integer(window.end_seconds()).as_bytes());
        line.extend_from_slice(end);
        out.write_all(&line)?;
        samples += 1;
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Domain, Endpoint, Field, Reading, Values, Window, WindowRange};

    fn histories() -> Vec<History> {
        // 2018-06-02 17:15 and 17:25, Beijing time.
        let first = Window::ending_at(1_527_930_900).unwrap();
        let range = WindowRange {
            first,
            last: first.plus(2),
        };
        let history = |name, endpoint| History::new(Domain::parse(name).unwrap(), endpoint, range);
        let mut flow = history("a.com", Endpoint::BandwidthFlow);
        let values = Values::NONE
            .with(Field::Bandwidth, 762_500.0)
            .with(Field::Flow, 228_880_000.0);
        flow.fill(&[
            Reading {
                window: first.plus(2),
                values: Values::NONE.with(Field::Bandwidth, 0.0),
            },
            Reading {
                window: first,
                values,
            },
            Reading {
                window: first.plus(3),
                values,
            },
        ]);
        let mut ratio = history("a.com", Endpoint::OriginRatio);
        ratio.fill(&[Reading {
            window: first.plus(1),
            values: Values::NONE
                .with(Field::EdgeBandwidth, 807_500.0)
                .with(Field::OriginBandwidth, 191_250.0)
                .with(Field::OriginRatio, 0.2362),
        }]);
        vec![flow, ratio, history("b.com", Endpoint::BandwidthFlow)]
    }

    fn written(format: Format) -> (u64, Vec<String>) {
        let mut out = Vec::new();
        let samples = write(&mut out, format, &histories(), || true).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with('\n'));
        (samples, text.lines().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn openmetrics_has_seconds_and_an_end() {
        let (samples, lines) = written(Format::OpenMetrics);
        assert_eq!(samples, 6);
        assert_eq!(lines.last().unwrap(), "# EOF");
        let samples: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .filter(|l| !l.starts_with('#'))
            .collect();
        assert_eq!(
            samples,
            [
                r#"jdcloud_cdn_window_bandwidth_bytes_per_second{domain="a.com"} 762500 1527930900"#,
                r#"jdcloud_cdn_window_bandwidth_bytes_per_second{domain="a.com"} 0 1527931500"#,
                r#"jdcloud_cdn_window_flow_bytes{domain="a.com"} 228880000 1527930900"#,
                r#"jdcloud_cdn_window_origin_bandwidth_bytes_per_second{domain="a.com"} 191250 1527931200"#,
                r#"jdcloud_cdn_window_edge_bandwidth_bytes_per_second{domain="a.com"} 807500 1527931200"#,
                r#"jdcloud_cdn_window_origin_ratio{domain="a.com"} 0.2362 1527931200"#,
            ]
        );
        for family in WINDOW_FAMILIES {
            let of_family = format!("# TYPE {} gauge", family.name);
            assert_eq!(lines.iter().filter(|line| **line == of_family).count(), 1);
        }
    }

    #[test]
    fn the_text_format_has_milliseconds_and_no_end() {
        let (samples, lines) = written(Format::Text);
        assert_eq!(samples, 6);
        assert_eq!(
            lines.last().unwrap(),
            r#"jdcloud_cdn_window_origin_ratio{domain="a.com"} 0.2362 1527931200000"#
        );
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with("# UNIT") || line == "# EOF")
        );
    }

    #[test]
    fn a_family_that_nothing_is_read_for_is_left_out() {
        let [flow, ..] = &histories()[..] else {
            panic!("three")
        };
        let mut out = Vec::new();
        write(&mut out, Format::OpenMetrics, std::slice::from_ref(flow), || true).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("jdcloud_cdn_window_flow_bytes") && !text.contains("origin"),
            "{text}"
        );
    }

    #[test]
    fn writing_ends_when_it_is_told_to() {
        let mut out = Vec::new();
        let error = write(&mut out, Format::Text, &histories(), || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn windows_are_counted_once_whatever_they_hold() {
        let counts: Vec<_> = histories().iter().map(|h| (h.expected(), h.present())).collect();
        assert_eq!(counts, [(3, 2), (3, 1), (3, 0)]);
    }
}
