//! From one written value to what it means, or to what is wrong with it and the remedy. Nothing is
//! clamped.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::FixedOffset;
use config::ValueKind;
use url::{Host, Url};

use crate::model::{Domain, Endpoint, LIST_PATH};

use super::file::kind_of;
use super::key_table::nearest;

/// The longest piece of a user's text that is quoted back.
const MAX_QUOTED: usize = 60;

/// What word processors and Chinese keyboards make of quotation marks. YAML takes them for letters.
const TYPOGRAPHIC: [char; 4] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

/// A written value. Leniency lets text stand for a number or a boolean, as it must in a variable.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    kind: &'a ValueKind,
    lenient: bool,
}

impl<'a> Given<'a> {
    /// A value of the file.
    pub(super) const fn strict(kind: &'a ValueKind) -> Self {
        Self { kind, lenient: false }
    }

    /// A value of the environment or of the table of defaults.
    pub(super) const fn lenient(kind: &'a ValueKind) -> Self {
        Self { kind, lenient: true }
    }

    fn spelled(self) -> Option<&'a str> {
        match self.kind {
            ValueKind::String(text) if self.lenient => Some(text),
            _ => None,
        }
    }

    fn wanted<T>(self, wanted: &str, remedy: &str) -> Result<T, String> {
        Err(match self.kind {
            ValueKind::Nil => format!("has no value; {remedy}, or remove the line"),
            other => format!("is {} where {wanted} is wanted; {remedy}", kind_of(other)),
        })
    }
}

/// Text as it is; a number is refused rather than turned into some spelling of itself.
pub(super) fn raw_text(given: Given<'_>) -> Result<&str, String> {
    match given.kind {
        ValueKind::String(text) if text.is_empty() => Err("is empty; write a value".to_owned()),
        ValueKind::String(text) if text.starts_with(TYPOGRAPHIC) || text.ends_with(TYPOGRAPHIC) => {
            Err("has typographic quotation marks, which would be part of the text; write \"…\"".to_owned())
        }
        ValueKind::String(text) => Ok(text),
        ValueKind::Nil => Err("has no value; write one, or remove the line".to_owned()),
        ValueKind::Table(_) | ValueKind::Array(_) => given.wanted("text", "write one text after the colon"),
        _ => given.wanted("text", "put it in quotes"),
    }
}

/// A name that is fit for a label and a log line: no outer blanks, no control characters.
pub(super) fn name(given: Given<'_>) -> Result<String, String> {
    let text = raw_text(given)?;
    if text.trim() != text {
        return Err("starts or ends with white space; remove it".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("contains a control character; remove it".to_owned());
    }
    Ok(text.to_owned())
}

/// `true` or `false`.
pub(super) fn boolean(given: Given<'_>) -> Result<bool, String> {
    match (given.kind, given.spelled()) {
        (ValueKind::Boolean(value), _) => Ok(*value),
        (_, Some("true")) => Ok(true),
        (_, Some("false")) => Ok(false),
        // YAML 1.2 takes yes and on for texts, which those who wrote them do not see.
        (ValueKind::String(text), _) => Err(format!(
            "is {}, no boolean; write true or false, without quotes",
            quote(text)
        )),
        _ => given.wanted("a boolean", "write true or false, without quotes"),
    }
}

/// A text of the file where a number is wanted, which may hold one all the same.
fn no_number(text: &str, remedy: &str) -> String {
    let number = if is_number(text) {
        ", a number in quotes"
    } else {
        ""
    };
    format!("is {}{number}; {remedy}, without quotes", quote(text))
}

/// A whole number within bounds.
pub(super) fn integer(bounds: RangeInclusive<usize>) -> impl Fn(Given<'_>) -> Result<usize, String> {
    move |given| {
        let remedy = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
        let number = match (given.kind, given.spelled()) {
            (ValueKind::I64(number), _) => i128::from(*number),
            (_, Some(text)) => match text.parse() {
                Ok(number) => number,
                Err(_) => return Err(format!("is {}; {remedy}", quote(text))),
            },
            (ValueKind::Float(number), _) => return Err(format!("is {number}; {remedy}")),
            (ValueKind::String(text), _) => return Err(no_number(text, &remedy)),
            _ => return given.wanted("a number", &remedy),
        };
        usize::try_from(number)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("is {number}; {remedy}"))
    }
}

/// Over 0, and at most a bound.
pub(super) fn rate(most: f64) -> impl Fn(Given<'_>) -> Result<f64, String> {
    move |given| {
        let remedy = format!("write a number over 0 and at most {most}");
        let written = match (given.kind, given.spelled()) {
            (ValueKind::I64(number), _) => number.to_string(),
            (ValueKind::Float(number), _) => number.to_string(),
            (_, Some(text)) => text.to_owned(),
            (ValueKind::String(text), _) => return Err(no_number(text, &remedy)),
            _ => return given.wanted("a number", &remedy),
        };
        match written.parse::<f64>() {
            Ok(number) if number > 0.0 && number <= most => Ok(number),
            Ok(number) => Err(format!("is {number}; {remedy}")),
            Err(_) => Err(format!("is {}; {remedy}", quote(&written))),
        }
    }
}

/// A length of time within bounds, always with its unit.
pub(super) fn duration(least: Duration, most: Duration) -> impl Fn(Given<'_>) -> Result<Duration, String> {
    move |given| {
        let text = match given.kind {
            ValueKind::I64(number) => return Err(no_unit(&number.to_string())),
            ValueKind::Float(number) => return Err(no_unit(&number.to_string())),
            ValueKind::String(text) if is_number(text) => return Err(no_unit(text)),
            ValueKind::String(text) => text,
            _ => return given.wanted("a duration", "write for example 90s, 10m or 1h"),
        };
        let length = spelled_duration(text).ok_or_else(|| {
            format!(
                "is {}, no duration; write whole numbers with the units ms, s, m, h or d, for example 90s or 1h30m",
                quote(text)
            )
        })?;
        if length < least {
            Err(format!("is {}; it must be at least {}", quote(text), show(least)))
        } else if length > most {
            Err(format!("is {}; it must be at most {}", quote(text), show(most)))
        } else {
            Ok(length)
        }
    }
}

fn no_unit(number: &str) -> String {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let example = if digits && number != "0" { number } else { "10" };
    format!("is a number without a unit; write {example}s for seconds, {example}m for minutes")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.parse::<f64>().is_ok()
}

/// `1h30m`: humantime's grammar without months, years, long words and blanks.
fn spelled_duration(text: &str) -> Option<Duration> {
    let known = text
        .split(|c: char| c.is_ascii_digit())
        .filter(|unit| !unit.is_empty())
        .all(|unit| matches!(unit, "ms" | "s" | "m" | "h" | "d"));
    let ordered = text.starts_with(|c: char| c.is_ascii_digit());
    (known && ordered)
        .then(|| humantime::parse_duration(text).ok())
        .flatten()
}

/// A duration in the spelling of the file: `1h30m`.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut parts = Vec::new();
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.concat()
    }
}

/// A number of bytes, bare or with `KiB`, `MiB` or `GiB`.
pub(super) fn bytes(bounds: RangeInclusive<usize>) -> impl Fn(Given<'_>) -> Result<usize, String> {
    move |given| {
        let remedy = format!(
            "write a number of bytes from {} to {}, or for example 32MiB",
            bounds.start(),
            bounds.end()
        );
        let (written, number) = match given.kind {
            ValueKind::I64(number) => (number.to_string(), usize::try_from(*number).ok()),
            ValueKind::Float(number) => (number.to_string(), None),
            ValueKind::String(text) => (quote(text), spelled_bytes(text)),
            _ => return given.wanted("a size", &remedy),
        };
        number.filter(|number| bounds.contains(number)).ok_or_else(|| {
            let meant = match given.kind {
                ValueKind::String(text) => misspelled_bytes(text),
                _ => None,
            };
            meant.map_or_else(
                || format!("is {written}, no size that can be used; {remedy}"),
                |meant| format!("is {written}, no size; did you mean {meant}?"),
            )
        })
    }
}

/// `32M` and `32mb` as they are written here.
fn misspelled_bytes(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits)?.trim().to_ascii_lowercase();
    let first = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let meant = ["KiB", "MiB", "GiB"]
        .into_iter()
        .find(|meant| first.len() == 1 && meant.to_ascii_lowercase().starts_with(first))?;
    let meant = format!("{digits}{meant}");
    (meant != text && spelled_bytes(&meant).is_some()).then_some(meant)
}

fn spelled_bytes(text: &str) -> Option<usize> {
    let units = [("KiB", 1024), ("MiB", 1024 * 1024), ("GiB", 1024 * 1024 * 1024)];
    let (digits, unit) = units
        .iter()
        .find_map(|(unit, length)| Some((text.strip_suffix(unit)?.trim_end(), *length)))
        .unwrap_or((text, 1));
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// A fixed offset from UTC: `+08:00`, `-03:30`, `Z` or `UTC`; from -12:00 to +14:00.
pub(super) fn time_zone(given: Given<'_>) -> Result<FixedOffset, String> {
    let remedy = "write an offset from -12:00 to +14:00 in quotes, for example \"+08:00\", or UTC";
    let ValueKind::String(text) = given.kind else {
        return given.wanted("a time zone", remedy);
    };
    spelled_offset(text).ok_or_else(|| format!("is {}, no time zone; {remedy}", quote(text)))
}

fn spelled_offset(text: &str) -> Option<FixedOffset> {
    if matches!(text, "Z" | "UTC") {
        return FixedOffset::east_opt(0);
    }
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let two_digits = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i32>().ok()).flatten()
    };
    let minutes = two_digits(minutes).filter(|minutes| *minutes < 60)?;
    let offset = sign * (two_digits(hours)? * 3600 + minutes * 60);
    (-12 * 3600..=14 * 3600)
        .contains(&offset)
        .then(|| FixedOffset::east_opt(offset))
        .flatten()
}

/// Where a shard serves, as Prometheus wants its targets: a host name or an address, and a port.
pub(super) fn host_and_port(given: Given<'_>) -> Result<String, String> {
    let text = raw_text(given)?;
    let remedy = "write host:port, for example exporter-0.example.com:10530 or [::1]:10530";
    let refused = |problem: &str| Err(format!("is {}, {problem}; {remedy}", quote(text)));
    if text.contains('@') {
        // Not quoted: what stands before the @ may be a password.
        return Err(format!("carries a user or password; {remedy}"));
    }
    if text.contains("://") {
        return refused("with a scheme");
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return refused("without a port");
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return refused("without a port from 1 to 65535");
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    if bracketed || host.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.to_owned());
    }
    match Domain::parse(host) {
        Ok(host) => Ok(format!("{host}:{port}")),
        Err(_) => refused("without a host name or address before the port"),
    }
}

/// An absolute http or https address without credentials, query and fragment. The text itself is
/// never quoted back, since it may carry a password.
pub(super) fn base_url(given: Given<'_>) -> Result<Url, String> {
    let text = raw_text(given)?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(
            "contains white space or a backslash; write for example https://opencdn.jcloud.com".into(),
        );
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => "has no scheme; write https:// before it".to_owned(),
        other => format!("is no address ({other}); write for example https://opencdn.jcloud.com"),
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("has a scheme other than https; write https:// before the host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user or password; remove everything up to the @".to_owned());
    }
    if url.query().is_some() {
        return Err("carries a query; remove everything from the ?".to_owned());
    }
    if url.fragment().is_some() {
        return Err("carries a fragment; remove everything from the #".to_owned());
    }
    let path = url.path().trim_end_matches('/');
    // What the exporter itself puts behind the base URL.
    let mut calls = Endpoint::ALL.map(Endpoint::path).into_iter().chain([LIST_PATH]);
    if let Some(before) = calls.find_map(|call| path.strip_suffix(call)?.strip_suffix('/')) {
        let mut base = url.clone();
        base.set_path(before);
        return Err(format!(
            "names one call of the API; write {} instead",
            base.as_str().trim_end_matches('/')
        ));
    }
    Ok(url)
}

/// Whether a host is this machine: 127.0.0.0/8, `::1` or localhost.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// One word of a closed set.
pub(super) fn one_of<T: Copy + 'static>(
    words: &'static [(&'static str, T)],
) -> impl Fn(Given<'_>) -> Result<T, String> {
    move |given| {
        let choice: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let remedy = format!("write {}", choice.join(" or "));
        let ValueKind::String(text) = given.kind else {
            return given.wanted("a word", &remedy);
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Ok(*value);
        }
        Err(match nearest(text, choice) {
            Some(meant) => format!("is {}; did you mean {meant}?", quote(text)),
            None => format!("is {}; {remedy}", quote(text)),
        })
    }
}

/// A user's text in quotes, in one line and not endless.
pub(super) fn quote(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_QUOTED).collect();
    format!("{:?}", start + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled<T>(text: &str, parse: impl Fn(Given<'_>) -> Result<T, String>) -> Result<T, String> {
        parse(Given::lenient(&ValueKind::from(text)))
    }

    #[test]
    fn durations_need_a_unit_and_stay_within_bounds() {
        let parse = duration(Duration::from_secs(1), Duration::from_secs(7 * 86_400));
        for (text, seconds) in [
            ("90s", 90.0),
            ("10m", 600.0),
            ("1h", 3600.0),
            ("7d", 604_800.0),
            ("1h30m", 5400.0),
            ("1500ms", 1.5),
        ] {
            let length = spelled(text, &parse).unwrap();
            assert!((length.as_secs_f64() - seconds).abs() < 1e-9, "{text}");
        }
        for text in [
            "", "0", "10", "1.5h", "-1s", "1M", "1month", "1 h", "s", "1h30", "999ms", "8d", "1e9s",
        ] {
            assert!(spelled(text, &parse).is_err(), "{text:?}");
        }
        assert_eq!(show(Duration::from_millis(90_061_001)), "1d1h1m1s1ms");
        assert_eq!(show(Duration::ZERO), "0s");
    }

    #[test]
    fn time_zones_are_offsets() {
        for (text, seconds) in [
            ("+08:00", 28_800),
            ("-05:30", -19_800),
            ("+14:00", 50_400),
            ("-12:00", -43_200),
            ("Z", 0),
            ("UTC", 0),
        ] {
            assert_eq!(
                spelled(text, time_zone).unwrap().local_minus_utc(),
                seconds,
                "{text}"
            );
        }
        for text in [
            "",
            "+8",
            "+0800",
            "08:00",
            "+14:01",
            "-12:30",
            "+08:60",
            "Asia/Shanghai",
            "utc",
            "++1:00",
        ] {
            assert!(spelled(text, time_zone).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        let parse = bytes(1..=1 << 30);
        for (text, size) in [
            ("1000", 1000),
            ("4KiB", 4096),
            ("32MiB", 33_554_432),
            ("1 GiB", 1 << 30),
        ] {
            assert_eq!(spelled(text, &parse), Ok(size), "{text}");
        }
        for text in ["", "0", "2GiB", "32MB", "-1", "99999999999999999999GiB", "1.5MiB"] {
            assert!(spelled(text, &parse).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_quoted() {
        let range =
            "no size that can be used; write a number of bytes from 1 to 1073741824, or for example 32MiB";
        for (written, told) in [
            (
                ValueKind::from("32M"),
                "is \"32M\", no size; did you mean 32MiB?".to_owned(),
            ),
            (
                ValueKind::from("32 mb"),
                "is \"32 mb\", no size; did you mean 32MiB?".to_owned(),
            ),
            (
                ValueKind::from("4k"),
                "is \"4k\", no size; did you mean 4KiB?".to_owned(),
            ),
            (ValueKind::from("2GiB"), format!("is \"2GiB\", {range}")),
            (ValueKind::from("1.5MiB"), format!("is \"1.5MiB\", {range}")),
            (ValueKind::from("32 apples"), format!("is \"32 apples\", {range}")),
            (ValueKind::from(0), format!("is 0, {range}")),
            (ValueKind::from(0.5), format!("is 0.5, {range}")),
        ] {
            assert_eq!(bytes(1..=1 << 30)(Given::strict(&written)), Err(told));
        }
    }

    #[test]
    fn numbers_are_not_clamped() {
        for (text, number) in [
            ("0.5", Some(0.5)),
            ("100000", Some(100_000.0)),
            ("0", None),
            ("100001", None),
        ] {
            assert_eq!(spelled(text, rate(100_000.0)).ok(), number, "{text}");
        }
        for text in ["-1", "NaN", "inf", "ten", ""] {
            assert!(spelled(text, rate(100_000.0)).is_err(), "{text:?}");
        }
        for (text, number) in [
            ("1", Some(1)),
            ("1024", Some(1024)),
            ("0", None),
            ("1025", None),
            ("1.0", None),
        ] {
            assert_eq!(spelled(text, integer(1..=1024)).ok(), number, "{text}");
        }
    }

    #[test]
    fn text_in_the_file_is_no_number_and_a_number_is_no_text() {
        let quoted = ValueKind::from("8");
        assert!(integer(1..=9)(Given::strict(&quoted)).is_err());
        assert_eq!(integer(1..=9)(Given::lenient(&quoted)), Ok(8));
        let number = ValueKind::from(12_345_i64);
        assert_eq!(
            name(Given::strict(&number)),
            Err("is a number where text is wanted; put it in quotes".to_owned())
        );
    }

    #[test]
    fn shards_are_hosts_with_ports() {
        for (text, kept) in [
            ("Exporter-0.a.com:10530", "exporter-0.a.com:10530"),
            ("localhost:1", "localhost:1"),
            ("10.0.0.1:65535", "10.0.0.1:65535"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(spelled(text, host_and_port).as_deref(), Ok(kept), "{text}");
        }
        for text in [
            "a.com",
            "a.com:",
            "a.com:0",
            "a.com:65536",
            "a.com:+1",
            ":80",
            "::1:80",
            "http://a.com:80",
            "a.com:80/x",
            "a b:80",
            "[::1]",
            "[a.com]:80",
            "*.a.com:80",
            "",
        ] {
            assert!(spelled(text, host_and_port).is_err(), "{text:?}");
        }
        for text in [
            "scraper:hunter2@a.com:80",
            "http://scraper:hunter2@a.com:80",
            "x:hunter2@",
        ] {
            let problem = spelled(text, host_and_port).unwrap_err();
            assert!(problem.starts_with("carries a user or password; "), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_call_in_a_base_address_is_told_whichever_it_is() {
        for call in [
            "/api/live/bandwidth_flow",
            "/api/origin_ratio",
            "/api/queryDomains",
        ] {
            for (before, after) in [("", ""), ("/prefix", "/")] {
                let refused = spelled(&format!("https://a.com{before}{call}{after}"), base_url).unwrap_err();
                assert_eq!(
                    refused,
                    format!("names one call of the API; write https://a.com{before} instead")
                );
            }
        }
    }

    #[test]
    fn base_addresses_carry_nothing_but_scheme_host_port_and_path() {
        for text in [
            "https://a.com",
            "http://127.0.0.1:8080/prefix/",
            "https://[::1]:1/x",
        ] {
            assert!(spelled(text, base_url).is_ok(), "{text}");
        }
        for text in [
            "opencdn.jcloud.com",
            "localhost:80",
            "ftp://a.com",
            "https://",
            "https://u:hush@a.com",
            "https://a.com?x",
            "https://a.com#x",
            " https://a.com",
            "https://a.com\\x",
        ] {
            let refused = spelled(text, base_url).unwrap_err();
            assert!(!refused.contains("hush"), "{refused}");
        }
        for (text, loopback) in [
            ("http://127.9.9.9", true),
            ("http://[::1]:80", true),
            ("http://LOCALHOST", true),
            ("http://localhost.example.com", false),
            ("http://128.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), loopback, "{text}");
        }
    }
}
