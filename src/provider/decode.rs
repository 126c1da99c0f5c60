//! From the bytes of a reply to readings. Total: any bytes give readings and a count of what was
//! refused, or one error; nothing missing becomes 0, and no other domain is touched.
//!
//! One pass over the body, straight into readings: keys and numbers are borrowed from it, and the
//! only memory that grows with the number of windows is the readings themselves.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::items::Items;
use super::mend::with_bare_words_quoted;
use super::rows::{Asked, Rows};
use super::wire::{Text, integer, unquoted};
use super::{bandwidth_flow, origin_ratio};
use crate::model::{Answer, Endpoint};

/// Why a reply gives no readings at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The reply says so itself: its status, and its `msg` as it stands (not to be trusted).
    #[error("the provider answered status {status}")]
    Status {
        /// Not 0.
        status: i64,
        /// As it stands, of any length: it may repeat the request and its signature.
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
    let payload = || Statistics {
        endpoint,
        rows: Rows::new(asked),
    };
    read(body, payload).map(|statistics| statistics.rows.finish())
}

/// What a reply carries beside its status and message.
pub(super) trait Payload {
    /// Reads the value of a key of the reply's object, if it is one that matters; says whether it has.
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &Text<'de>, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads a reply whose status is 0 into a payload, which is made anew for every look at the body.
pub(super) fn read<P: Payload>(body: &[u8], payload: impl Fn() -> P) -> Result<P, DecodeError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // The check alone goes by words, the replacement by bytes.
    let text = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::CutOff("the body is empty".to_owned()));
    }
    if text.trim_ascii_start().starts_with('<') {
        return Err(DecodeError::Malformed(
            "the reply is a page of HTML or XML, not JSON".to_owned(),
        ));
    }
    match read_text(&text, payload()) {
        Err(error @ DecodeError::Malformed(_)) => match with_bare_words_quoted(&text) {
            Some(mended) => read_text(&mended, payload()),
            None => Err(error),
        },
        other => other,
    }
}

fn read_text<P: Payload>(text: &str, payload: P) -> Result<P, DecodeError> {
    let mut envelope = Envelope {
        payload,
        status: None,
        msg: Cow::Borrowed(""),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    envelope
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(malformed)?;
    match envelope.status {
        Some(0) => Ok(envelope.payload),
        Some(status) => Err(DecodeError::Status {
            status,
            msg: envelope.msg.into_owned(),
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

/// The `data` of a statistics call.
struct Statistics<'a> {
    endpoint: Endpoint,
    rows: Rows<'a>,
}

impl Payload for Statistics<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &Text<'de>, map: &mut A) -> Result<bool, A::Error> {
        if !key.is("data") {
            return Ok(false);
        }
        match self.endpoint {
            Endpoint::BandwidthFlow => {
                map.next_value_seed(Items::list(&mut bandwidth_flow::Bins(&mut self.rows)))?;
            }
            Endpoint::OriginRatio => {
                map.next_value_seed(Items::list(&mut origin_ratio::Domains(&mut self.rows)))?;
            }
        }
        Ok(true)
    }
}

/// `{"status": …, "msg": …, "data": …}`, in any order.
struct Envelope<'de, P> {
    payload: P,
    status: Option<i64>,
    msg: Cow<'de, str>,
}

impl<'de, P: Payload> DeserializeSeed<'de> for &mut Envelope<'de, P> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, P: Payload> Visitor<'de> for &mut Envelope<'de, P> {
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
            } else if !self.payload.member(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    //! What the tests of both endpoints ask for.

    use chrono::FixedOffset;

    use super::*;
    use crate::model::{Domain, Units, Window, WindowRange};

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
