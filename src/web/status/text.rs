//! PURE: numbers, times and foreign text as a reader of the page wants them.

use std::fmt::{self, Display, Write};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Language;
use super::phrases::Phrase;

/// Text that means itself inside HTML, also within a quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Controls, and marks that turn the direction of writing, are not text.
                c if c.is_control()
                    || ('\u{202a}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c) =>
                {
                    f.write_char('\u{fffd}')?;
                }
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// RFC 3339 in UTC, in whole seconds.
pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Bytes per second as Mbit/s: `1,234.56`.
pub(super) fn megabits(bytes_per_second: f64) -> String {
    grouped(&format!("{:.2}", bytes_per_second * 8.0 / 1e6))
}

/// Bytes per second in the unit that fits: `1.23 Gbit/s`.
pub(super) fn bits(bytes_per_second: f64) -> String {
    scaled(
        bytes_per_second * 8.0,
        ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
    )
}

/// Bytes in the unit that fits, 1 MB being 1,000,000 bytes.
pub(super) fn bytes(bytes: f64) -> String {
    scaled(bytes, ["B", "kB", "MB", "GB", "TB"])
}

/// Three digits, or all of those before the point.
fn scaled(value: f64, units: [&str; 5]) -> String {
    let mut value = value;
    let mut shown = "";
    for unit in units {
        shown = unit;
        // What would be printed as 1000 is 1.00 of the next unit.
        if value < 999.5 {
            break;
        }
        if Some(&unit) != units.last() {
            value /= 1_000.0;
        }
    }
    let decimals = if value == 0.0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{} {shown}", grouped(&format!("{value:.decimals$}")))
}

/// A ratio as `4.20 %`.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// A count with its thousands apart.
pub(super) fn count(count: usize) -> String {
    grouped(&count.to_string())
}

/// A number with commas between thousands.
fn grouped(number: &str) -> String {
    let (whole, decimals) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text + decimals
}

/// A length of time in one unit, rounded down: `12 s`, `90 min`, `30 h`, `9 d`.
pub(super) fn duration(length: TimeDelta, language: Language) -> String {
    let seconds = length.num_seconds().max(0);
    let (count, phrase) = match seconds {
        ..120 => (seconds, Phrase::Seconds),
        120..7_200 => (seconds / 60, Phrase::Minutes),
        7_200..172_800 => (seconds / 3_600, Phrase::Hours),
        _ => (seconds / 86_400, Phrase::Days),
    };
    language.fill(phrase, &[&count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_disarmed() {
        assert_eq!(
            Escaped("<b onload=\"x\">&'\u{202e}\0ü").to_string(),
            "&lt;b onload=&quot;x&quot;&gt;&amp;&#39;\u{fffd}\u{fffd}ü"
        );
    }

    #[test]
    fn numbers_are_readable() {
        // 762,500 B/s * 8 = 6,100,000 bit/s: the documents' 6.1 Mbps.
        assert_eq!(megabits(762_500.0), "6.10");
        assert_eq!(megabits(154_320_000.0), "1,234.56");
        assert_eq!(megabits(0.0), "0.00");
        assert_eq!(bits(762_500.0), "6.10 Mbit/s");
        for (value, expected) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (999.5, "1.00 kB"),
            (228_750_000.0, "229 MB"),
            (12_340_000_000.0, "12.3 GB"),
            (9_996_000.0, "10.0 MB"),
            (5e16, "50,000 TB"),
        ] {
            assert_eq!(bytes(value), expected, "{value}");
        }
        assert_eq!(percent(0.2362), "23.62 %");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
    }

    #[test]
    fn durations_are_short() {
        for (seconds, english, chinese) in [
            (-5, "0 s", "0 秒"),
            (119, "119 s", "119 秒"),
            (120, "2 min", "2 分钟"),
            (7_199, "119 min", "119 分钟"),
            (7_200, "2 h", "2 小时"),
            (172_800, "2 d", "2 天"),
        ] {
            let length = TimeDelta::seconds(seconds);
            assert_eq!(duration(length, Language::English), english);
            assert_eq!(duration(length, Language::Chinese), chinese);
        }
    }
}
