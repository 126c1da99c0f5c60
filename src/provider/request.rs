//! The body of a call.

use chrono::{Datelike, FixedOffset, Timelike};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::model::{Domain, Endpoint, ListPageWanted, Window, WindowRange};

/// The most windows that one call may span: 30 days at `bandwidth_flow` (its newer pages), 7 days at
/// `origin_ratio` (section 2).
#[must_use]
pub const fn most_windows(endpoint: Endpoint) -> u32 {
    /// 24 h of 12 windows each.
    const DAY: u32 = 288;
    match endpoint {
        Endpoint::BandwidthFlow => 30 * DAY,
        Endpoint::OriginRatio => 7 * DAY,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    username: &'a str,
    signature: &'a str,
    domain: String,
    start_time: String,
    end_time: String,
}

/// The JSON body, one object. Several domains are joined by commas (`origin_ratio`, section 2).
pub(super) fn body(
    username: &str,
    signature: &SecretString,
    domains: &[Domain],
    range: WindowRange,
    zone: FixedOffset,
) -> Result<Vec<u8>, serde_json::Error> {
    let domains: Vec<_> = domains.iter().map(Domain::as_str).collect();
    serde_json::to_vec(&Body {
        username,
        signature: signature.expose_secret(),
        domain: domains.join(","),
        start_time: time(range.first, zone),
        end_time: time(range.last, zone),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    username: &'a str,
    signature: &'a str,
    page_number: usize,
    page_size: usize,
}

/// The JSON body of a call for one page of the list of domains.
pub(super) fn list_body(
    username: &str,
    signature: &SecretString,
    wanted: ListPageWanted,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&ListBody {
        username,
        signature: signature.expose_secret(),
        page_number: wanted.number,
        page_size: wanted.size,
    })
}

/// `yyyy-mm-dd hh:mi` in the provider's zone (both documents, section 2).
fn time(window: Window, zone: FixedOffset) -> String {
    let end = window.end().with_timezone(&zone);
    // A fifth of the work of chrono's own formats.
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        end.year(),
        end.month(),
        end.day(),
        end.hour(),
        end.minute()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_documented_object() {
        let window = |text: &str| {
            Window::ending_at(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()).unwrap()
        };
        let range = WindowRange {
            first: window("2016-12-13T23:00:00Z"),
            last: window("2016-12-14T04:55:00Z"),
        };
        let domains = ["www.a.com", "www.b.com"].map(|name| Domain::parse(name).unwrap());
        let zone = FixedOffset::east_opt(8 * 3600).unwrap();
        let body = body("test_user", &"0123abcd".into(), &domains, range, zone).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"username":"test_user","signature":"0123abcd","domain":"www.a.com,www.b.com","start_time":"2016-12-14 07:00","end_time":"2016-12-14 12:55"}"#
        );
    }

    #[test]
    fn a_page_is_asked_for_by_its_number_from_one() {
        let wanted = ListPageWanted {
            number: 2,
            size: 100,
            keep: 1_000,
        };
        let body = list_body("test_user", &"0123abcd".into(), wanted).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"username":"test_user","signature":"0123abcd","pageNumber":2,"pageSize":100}"#
        );
    }
}
