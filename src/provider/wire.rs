//! The leaves of a reply: numbers, times and names, read as leniently as they can be without
//! guessing.

use std::borrow::Cow;
use std::fmt;

use chrono::{FixedOffset, NaiveDate};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

/// A measured number as it stands in a reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantity {
    /// A finite number from 0 up, bare or in quotes.
    Given(f64),
    /// `null`, `"-"`, `""` or another way to say that there is none.
    NotGiven,
    /// Anything else.
    Unusable,
}

impl Quantity {
    pub(super) fn parse(raw: &RawValue) -> Self {
        let text = unquoted(raw.get());
        match text.parse::<f64>() {
            // Adding 0 turns -0 into 0.
            Ok(value) if value.is_finite() && value >= 0.0 => Self::Given(value + 0.0),
            Err(_) if matches!(text, "" | "-" | "--" | "null") => Self::NotGiven,
            _ => Self::Unusable,
        }
    }
}

/// A whole number, bare or in quotes (a status, an epoch).
pub(super) fn integer(raw: &RawValue) -> Option<i64> {
    let text = unquoted(raw.get());
    let text = text.strip_suffix(".0").unwrap_or(text);
    text.parse().ok()
}

/// A text without its quotes and the blanks around it; any other value as it is written.
pub(super) fn unquoted(raw: &str) -> &str {
    let raw = raw.trim();
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .map_or(raw, str::trim)
}

/// The Unix time of a label such as `2018-06-02 17:15`, in the provider's zone. Seconds may follow
/// if they are 0; blanks may be doubled, as they are in the documents' example.
pub(super) fn label(text: &str, zone: FixedOffset) -> Option<i64> {
    let (date, [hour, minute, second]) = documented(text).or_else(|| lenient(text))?;
    let local = date.and_hms_opt(hour, minute, second)?;
    Some(local.and_utc().timestamp() - i64::from(zone.local_minus_utc()))
}

/// A label exactly as it is documented, as nearly all are: without a search.
fn documented(text: &str) -> Option<(NaiveDate, [u32; 3])> {
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b' ',
        h1,
        h2,
        b':',
        n1,
        n2,
    ] = text.as_bytes()
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?.try_into().ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
    Some((date, [number(&[h1, h2])?, number(&[n1, n2])?, 0]))
}

/// A label with what may differ in one.
fn lenient(text: &str) -> Option<(NaiveDate, [u32; 3])> {
    let mut parts = text.split_ascii_whitespace();
    let (date, time) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut date = date.splitn(3, '-').map(|part| number(part.as_bytes()));
    let year = date.next()??.try_into().ok()?;
    let date = NaiveDate::from_ymd_opt(year, date.next()??, date.next()??)?;
    let mut time = time.splitn(3, ':').map(|part| number(part.as_bytes()));
    Some((
        date,
        [time.next()??, time.next()??, time.next().unwrap_or(Some(0))?],
    ))
}

/// One to four digits.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// A key or a name, borrowed from the body unless it is written with escapes.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl Text<'_> {
    /// Whether it is this key, whatever the blanks around it and its letter case.
    pub(super) fn is(&self, key: &str) -> bool {
        self.0 == key || self.0.trim().eq_ignore_ascii_case(key)
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn numbers_are_taken_bare_or_in_quotes_and_nothing_becomes_zero() {
        for (json, quantity) in [
            ("6.1", Quantity::Given(6.1)),
            ("6", Quantity::Given(6.0)),
            ("0", Quantity::Given(0.0)),
            ("-0.0", Quantity::Given(0.0)),
            ("1.5e3", Quantity::Given(1_500.0)),
            ("\" 6.1 \"", Quantity::Given(6.1)),
            ("null", Quantity::NotGiven),
            ("\"null\"", Quantity::NotGiven),
            ("\"-\"", Quantity::NotGiven),
            ("\"\"", Quantity::NotGiven),
            ("-6.1", Quantity::Unusable),
            ("\"NaN\"", Quantity::Unusable),
            ("\"inf\"", Quantity::Unusable),
            ("1e999", Quantity::Unusable),
            ("\"1,234\"", Quantity::Unusable),
            ("true", Quantity::Unusable),
            ("{}", Quantity::Unusable),
            ("[6.1]", Quantity::Unusable),
        ] {
            assert_eq!(Quantity::parse(&raw(json)), quantity, "{json}");
        }
        assert!(matches!(Quantity::parse(&raw("-0.0")), Quantity::Given(zero) if zero.is_sign_positive()));
    }

    #[test]
    fn whole_numbers_are_taken_bare_or_in_quotes() {
        for (json, value) in [
            ("0", Some(0)),
            ("\"0\"", Some(0)),
            ("-1", Some(-1)),
            ("0.0", Some(0)),
            ("1513540200", Some(1_513_540_200)),
            ("0.5", None),
            ("null", None),
            ("\"ok\"", None),
        ] {
            assert_eq!(integer(&raw(json)), value, "{json}");
        }
    }

    #[test]
    fn labels_are_local_times_of_the_providers_zone() {
        let beijing = FixedOffset::east_opt(8 * 3600).unwrap();
        // date -u -d '2018-06-02 17:15 +0800' +%s
        for (text, time) in [
            ("2018-06-02 17:15", Some(1_527_930_900)),
            (" 2018-06-02  17:15 ", Some(1_527_930_900)),
            ("2018-06-02 17:15:00", Some(1_527_930_900)),
            ("2018-6-2 17:15", Some(1_527_930_900)),
            ("2018-06-02T17:15", None),
            ("2018-06-31 17:15", None),
            ("2018-06-02 24:00", None),
            ("2018-06-02 17:15 +0800", None),
            ("17:15", None),
            ("", None),
            ("+018-06-02 17:15", None),
        ] {
            assert_eq!(label(text, beijing), time, "{text:?}");
        }
    }
}
