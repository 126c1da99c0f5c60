//! From the bytes of a reply to readings. Total: any bytes give readings and a count of what was
//! refused, or one error; nothing missing becomes 0, and no other domain is touched.
//!
//! One pass over the body, straight into readings: keys and numbers are borrowed from it, and the
//! only memory that grows with the number of windows is the readings themselves.

use std::borrow::Cow;
use std::fmt;

use chrono::FixedOffset;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::wire::{Quantity, Text, integer, label, unquoted};
use super::{bandwidth_flow, origin_ratio};
use crate::model::{
    Answer, Domain, Endpoint, Field, Reading, Reject, Rejects, Units, Values, Window, WindowRange,
};

/// What was asked for; a reply is read against it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The domains of the call, in its order.
    pub domains: &'a [Domain],
    /// The windows of the call.
    pub range: WindowRange,
    /// The provider's zone, of labels that are local times.
    pub zone: FixedOffset,
    /// What the provider's "M" means.
    pub units: Units,
}

/// Why a reply gives no readings at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The reply says so itself: its status, and its `msg` as it stands (not to be trusted).
    #[error("the provider answered status {status}")]
    Status {
        /// Not 0.
        status: i64,
        /// Cut to 200 characters.
        msg: String,
    },
    /// The body ends before the reply does.
    #[error("the reply is cut off ({0})")]
    CutOff(String),
    /// The body is not what the documents describe.
    #[error("{0}")]
    Malformed(String),
}

/// Reads a reply of an endpoint.
///
/// # Errors
/// When the reply's status is not 0, or when it is no JSON object with a status.
pub fn decode(endpoint: Endpoint, body: &[u8], asked: &Asked<'_>) -> Result<Answer, DecodeError> {
    let text = String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::CutOff("the body is empty".to_owned()));
    }
    if text.trim_ascii_start().starts_with('<') {
        return Err(DecodeError::Malformed(
            "the reply is a page of HTML or XML, not JSON".to_owned(),
        ));
    }
    match decode_text(endpoint, &text, asked) {
        Err(error @ DecodeError::Malformed(_)) => match with_bare_words_quoted(&text) {
            Some(mended) => decode_text(endpoint, &mended, asked),
            None => Err(error),
        },
        other => other,
    }
}

fn decode_text(endpoint: Endpoint, text: &str, asked: &Asked<'_>) -> Result<Answer, DecodeError> {
    let mut envelope = Envelope {
        endpoint,
        rows: Rows::new(asked),
        status: None,
        msg: Cow::Borrowed(""),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    envelope
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(malformed)?;
    match envelope.status {
        Some(0) => Ok(envelope.rows.finish()),
        Some(status) => Err(DecodeError::Status {
            status,
            msg: envelope.msg.chars().take(200).collect(),
        }),
        None => Err(DecodeError::Malformed(
            "the reply has no status that is a whole number".to_owned(),
        )),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn malformed(error: serde_json::Error) -> DecodeError {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_eof() {
        DecodeError::CutOff(place)
    } else if error.is_data() {
        DecodeError::Malformed(format!("the reply is no JSON object ({place})"))
    } else {
        DecodeError::Malformed(format!("the reply is no JSON ({place})"))
    }
}

/// `{"status": …, "msg": …, "data": …}`, in any order.
struct Envelope<'a, 'de> {
    endpoint: Endpoint,
    rows: Rows<'a>,
    status: Option<i64>,
    msg: Cow<'de, str>,
}

impl<'de> DeserializeSeed<'de> for &mut Envelope<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Envelope<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a status")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.is("status") {
                self.status = integer(map.next_value::<&RawValue>()?);
            } else if key.is("msg") {
                self.msg = Cow::Borrowed(unquoted(map.next_value::<&RawValue>()?.get()));
            } else if key.is("data") {
                match self.endpoint {
                    Endpoint::BandwidthFlow => {
                        map.next_value_seed(Items::list(&mut bandwidth_flow::Bins(&mut self.rows)))?;
                    }
                    Endpoint::OriginRatio => {
                        map.next_value_seed(Items::list(&mut origin_ratio::Domains(&mut self.rows)))?;
                    }
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// What handles the objects of a list; everything else in the list is refused as a shape.
pub(super) trait Item<'de> {
    /// Reads one object.
    fn object<A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;
    /// Counts a part that is no object.
    fn reject(&mut self, kind: Reject);
}

/// A value that should be an object or, where `list` is set, a list of objects (`null`, `{}` and
/// `[]` are empty lists). A list inside a list is refused, so the depth of a reply does not matter.
pub(super) struct Items<'i, I> {
    item: &'i mut I,
    list: bool,
}

impl<'i, I> Items<'i, I> {
    /// A list of objects, or a single object in its place.
    pub(super) const fn list(item: &'i mut I) -> Self {
        Self { item, list: true }
    }

    /// One object.
    pub(super) const fn one(item: &'i mut I) -> Self {
        Self { item, list: false }
    }
}

impl<'de, I: Item<'de>> DeserializeSeed<'de> for Items<'_, I> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: Item<'de>> Visitor<'de> for Items<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.list {
            while seq.next_element_seed(Items::one(&mut *self.item))?.is_some() {}
        } else {
            self.item.reject(Reject::Shape);
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.item.object(map)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if !self.list {
            self.item.reject(Reject::Shape);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }
}

/// The readings of a reply as they come in: unsorted, repeated, of any domain.
pub(super) struct Rows<'a> {
    asked: Asked<'a>,
    readings: Vec<Vec<Reading>>,
    rejects: Rejects,
    /// Where the next domain is looked for first: replies keep the order of the call.
    hint: usize,
}

impl<'a> Rows<'a> {
    fn new(asked: &Asked<'a>) -> Self {
        Self {
            asked: *asked,
            readings: vec![Vec::new(); asked.domains.len()],
            rejects: Rejects::default(),
            hint: 0,
        }
    }

    pub(super) fn reject(&mut self, kind: Reject) {
        self.rejects.add(kind);
    }

    /// The place in the call of a domain that the reply names; one that was not asked for is
    /// counted and gives `None`.
    pub(super) fn domain(&mut self, name: &str) -> Option<usize> {
        let domains = self.asked.domains;
        let found = (self.hint..domains.len())
            .chain(0..self.hint.min(domains.len()))
            .find(|place| domains.get(*place).is_some_and(|domain| domain.matches(name)));
        match found {
            Some(place) => self.hint = place + 1,
            None => self.reject(Reject::UnknownDomain),
        }
        found
    }

    /// The window that a local-time label names, if it was asked for; others are counted.
    pub(super) fn window_of_label(&mut self, text: &str) -> Option<Window> {
        let time = label(text, self.asked.zone);
        self.window(time)
    }

    /// The same for an epoch, or a label in its place.
    pub(super) fn window_of_epoch(&mut self, raw: &RawValue) -> Option<Window> {
        let time = integer(raw).or_else(|| label(unquoted(raw.get()), self.asked.zone));
        self.window(time)
    }

    fn window(&mut self, unix_seconds: Option<i64>) -> Option<Window> {
        let Some(window) = unix_seconds.and_then(Window::ending_at) else {
            self.reject(Reject::Time);
            return None;
        };
        if !self.asked.range.contains(window) {
            self.reject(Reject::OutOfRange);
            return None;
        }
        Some(window)
    }

    /// Takes over the values of a domain for a window; none at all is counted as a shape.
    pub(super) fn push(&mut self, place: usize, window: Window, values: Values) {
        if values.is_empty() {
            self.reject(Reject::Shape);
        } else if let Some(rows) = self.readings.get_mut(place) {
            reserve(rows, self.asked.range);
            rows.push(Reading { window, values });
        }
    }

    /// Adds a reading to rows whose domain is not known yet.
    pub(super) fn collect(&self, rows: &mut Vec<Reading>, reading: Reading) {
        reserve(rows, self.asked.range);
        rows.push(reading);
    }

    /// Takes over the rows of a domain.
    pub(super) fn extend(&mut self, place: usize, readings: Vec<Reading>) {
        if let Some(rows) = self.readings.get_mut(place) {
            if rows.is_empty() {
                *rows = readings;
            } else {
                rows.extend(readings);
            }
        }
    }

    /// Sets a field from its place in the reply, converted by `convert`.
    pub(super) fn set(
        &mut self,
        values: &mut Values,
        field: Field,
        raw: &RawValue,
        convert: impl Fn(Units, f64) -> f64,
    ) {
        match Quantity::parse(raw) {
            Quantity::Given(value) => values.set(field, convert(self.asked.units, value)),
            Quantity::NotGiven => {}
            Quantity::Unusable => self.reject(Reject::Value),
        }
    }

    fn finish(mut self) -> Answer {
        for rows in &mut self.readings {
            if !rows.is_sorted_by(|a, b| a.window < b.window) {
                rows.sort_by_key(|reading| reading.window);
                let rejects = &mut self.rejects;
                rows.dedup_by(|later, kept| {
                    later.window == kept.window && {
                        if combine(&mut kept.values, later.values) {
                            rejects.add(Reject::Contradiction);
                        }
                        true
                    }
                });
            }
        }
        Answer {
            readings: self.readings,
            rejects: self.rejects,
        }
    }
}

/// Makes room for every window of the call at once: the one allocation of a domain's readings.
fn reserve(rows: &mut Vec<Reading>, range: WindowRange) {
    if rows.is_empty() {
        rows.reserve_exact(range.count());
    }
}

/// Takes over the fields of a later row of the same window; says whether one of them contradicts.
fn combine(kept: &mut Values, later: Values) -> bool {
    let mut contradicts = false;
    for field in Field::ALL {
        if let Some(value) = later.get(field) {
            contradicts |= kept
                .get(field)
                .is_some_and(|old| old.to_bits() != value.to_bits());
            kept.set(field, value);
        }
    }
    contradicts
}

/// The text with every bare word that is no JSON (`NaN`, `-`, `None`, `Infinity`, `+5`) put in
/// quotes, so that it spoils its own field and nothing else; `None` if there is no such word.
fn with_bare_words_quoted(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut quoted_any = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => end_of_string(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ if first.is_ascii_whitespace() => 1,
            _ => rest
                .find(|c: char| {
                    matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | '"') || c.is_ascii_whitespace()
                })
                .unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(end);
        let bare = !token.starts_with(['"', '{', '}', '[', ']', ':', ',']) && !token.trim_ascii().is_empty();
        if bare && serde_json::from_str::<&RawValue>(token).is_err() && !token.contains('\\') {
            quoted_any = true;
            out.extend(["\"", token, "\""]);
        } else {
            out.push_str(token);
        }
        rest = tail;
    }
    quoted_any.then_some(out)
}

/// The length of the string that `text` starts with, its quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .enumerate()
        .skip(1)
        .find(|(_, byte)| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })
        .map_or(text.len(), |(place, _)| place + 1)
}

#[cfg(test)]
pub(super) mod fixtures {
    //! What the tests of both endpoints ask for.

    use super::*;

    pub(in crate::provider) fn window(end: &str) -> Window {
        Window::ending_at(end.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()).unwrap()
    }

    pub(in crate::provider) fn domains(names: &[&str]) -> Vec<Domain> {
        names.iter().map(|name| Domain::parse(name).unwrap()).collect()
    }

    pub(in crate::provider) fn asked<'a>(domains: &'a [Domain], first: &str, last: &str) -> Asked<'a> {
        Asked {
            domains,
            range: WindowRange {
                first: window(first),
                last: window(last),
            },
            zone: FixedOffset::east_opt(8 * 3600).unwrap(),
            units: Units::Decimal,
        }
    }

    pub(in crate::provider) fn decoded(endpoint: Endpoint, body: &str, asked: &Asked<'_>) -> Answer {
        decode(endpoint, body.as_bytes(), asked).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{asked, domains};
    use super::*;
    use proptest::prelude::*;

    fn decode_both(body: &[u8]) -> [Result<Answer, DecodeError>; 2] {
        let domains = domains(&["a.com"]);
        let asked = asked(&domains, "2018-06-02T09:15:00Z", "2018-06-02T09:30:00Z");
        Endpoint::ALL.map(|endpoint| decode(endpoint, body, &asked))
    }

    #[test]
    fn empty_data_is_a_good_reply_without_readings() {
        for data in ["{}", "[]", "null", "[{}]"] {
            for body in [
                format!(r#"{{"status":0,"msg":"","data":{data}}}"#),
                format!("\u{feff} {{\"data\":{data}, \"Status \":\"0\"}} "),
            ] {
                for answer in decode_both(body.as_bytes()) {
                    let answer = answer.unwrap();
                    assert_eq!(answer.readings, [[]], "{body}");
                    assert_eq!(answer.rejects.total(), 0, "{body}");
                }
            }
        }
        assert!(decode_both(br#"{"status":0}"#).iter().all(Result::is_ok));
    }

    #[test]
    fn a_status_other_than_zero_is_the_providers_own_failure() {
        for (body, status, msg) in [
            (r#"{"status":7,"msg":"签名错误","data":{}}"#, 7, "签名错误"),
            (
                r#"{"data":[{"domain":"a.com"}],"msg":null,"status":"-1"}"#,
                -1,
                "null",
            ),
            (r#"{"status":99}"#, 99, ""),
        ] {
            for answer in decode_both(body.as_bytes()) {
                assert_eq!(
                    answer,
                    Err(DecodeError::Status {
                        status,
                        msg: msg.to_owned()
                    }),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_one_error() {
        let deep = format!(
            r#"{{"status":0,"data":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        for (body, cut_off) in [
            ("", true),
            ("  \n", true),
            (r#"{"status":0,"data":[{"2018-06"#, true),
            ("<html><body>502 Bad Gateway</body></html>", false),
            ("Service Unavailable", false),
            ("[]", false),
            ("null", false),
            (r#"{"msg":"ok"}"#, false),
            (r#"{"status":null}"#, false),
            (r#"{"status":0} trailing"#, false),
        ] {
            for answer in decode_both(body.as_bytes()) {
                let error = answer.unwrap_err();
                assert_eq!(
                    matches!(error, DecodeError::CutOff(_)),
                    cut_off,
                    "{body}: {error}"
                );
            }
        }
        for answer in decode_both(deep.as_bytes()) {
            assert_eq!(answer.unwrap().rejects.total(), 1);
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_spoil_only_where_they_stand() {
        let mut body = br#"{"status":0,"msg":""#.to_vec();
        body.extend([0xb3, 0xc9, 0xb9, 0xa6]); // "success" in GBK
        body.extend(br#"","data":[{"2018-06-02 17:15":{"a.com":{"bandwidth":8}}}]}"#);
        let [flow, _] = decode_both(&body);
        assert_eq!(flow.unwrap().readings[0].len(), 1);
    }

    #[test]
    fn bare_words_are_quoted_outside_strings_only() {
        for (text, quoted) in [
            (
                r#"{"a":NaN,"b NaN \" NaN":-Infinity , "c":[-]}"#,
                Some(r#"{"a":"NaN","b NaN \" NaN":"-Infinity" , "c":["-"]}"#),
            ),
            (r#"{"a":1e5,"b":null,"c":true,"d":-1.5}"#, None),
        ] {
            assert_eq!(with_bare_words_quoted(text).as_deref(), quoted);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_an_error(body: Vec<u8>) {
            let _ = decode_both(&body);
        }

        /// Damage to a good reply never panics and never invents a reading.
        #[test]
        fn damage_never_invents_a_value(cut in 0_usize..200, place in 0_usize..200, byte: u8) {
            let body = br#"{"status":0,"data":[{"2018-06-02 17:15":{"a.com":{"bandwidth":8.5,"flow":3.25}}}]}"#;
            let mut damaged = body.to_vec();
            damaged.truncate(body.len().saturating_sub(cut));
            if let Some(there) = damaged.get_mut(place) {
                *there = byte;
            }
            if let Ok(answer) = &decode_both(&damaged)[0] {
                prop_assert!(answer.readings[0].len() <= 1);
            }
        }
    }
}
