//! A failed call in plain words: what is wrong, and what to do.

use super::judge::{Circumstances, Finding, minute, notable_skew};
use super::probe::Probe;
use crate::model::{Disposition, Failure, Reason};
use chrono::TimeDelta;

/// What a failure means here.
pub(super) fn explain(failure: &Failure, probe: &Probe, circumstances: &Circumstances<'_>) -> Finding {
    let Circumstances { api, username, .. } = circumstances;
    let timeout = humantime::format_duration(api.timeout);
    match failure.reason {
        Reason::Signature => signature(probe, username),
        Reason::UnknownUser => Finding::problem(
            format!(
                "unknown user: the provider has none called {}",
                username.escape_debug()
            ),
            "correct username of this account: it is the account's name at JD Cloud, its \"pin\"",
        ),
        Reason::Connect => connect(&failure.message, probe, circumstances),
        Reason::Timeout => Finding::problem(
            format!("no whole reply from {} within {timeout}", place(circumstances)),
            "check the way there: a firewall that drops packets looks like this; if the provider is only slow, raise \
             api.timeout or lower the account's batch size",
        ),
        Reason::HttpStatus => http_status(&failure.message, circumstances),
        Reason::Throttled => Finding::problem(
            "the provider throttles this account (HTTP 429)",
            "lower api.max_requests_per_second or raise poll.interval, and look for other programs that use the \
             account; then check again in some minutes",
        ),
        Reason::TooLarge => Finding::problem(
            format!("the reply is larger than {} bytes", api.max_reply_bytes),
            "raise api.max_reply_bytes, or lower the account's batch size",
        ),
        Reason::Decode => decode(failure, circumstances),
        Reason::BadRequest => Finding::problem(
            "the provider refuses the request's parameters or its range of time",
            "check this machine's clock and api.time_zone; if they are right, please report this as a defect",
        ),
        Reason::ForeignDomain => Finding::problem(
            "the provider refuses even a list of one domain as too long",
            "ask the provider's support whether this account may use the call",
        ),
        Reason::ApiError if matches!(failure.disposition, Disposition::Retry { .. }) => Finding::problem(
            "a fault at the provider, by its own words",
            "check again in some minutes; if it stays, ask the provider's support",
        ),
        Reason::ApiError => Finding::problem(
            "the provider answers with a status that it does not document",
            "ask the provider's support what it means, and please report it as a defect",
        ),
    }
}

/// Refused with the dates of three days, so neither clock nor time zone can be the only cause unless
/// they are off by more than a day.
fn signature(probe: &Probe, username: &str) -> Finding {
    let day = TimeDelta::days(1);
    if notable_skew(probe).is_some_and(|skew| skew.abs() >= day) {
        return Finding::problem(
            "the signature is refused: it is made with the date of this machine's clock, which is wrong",
            "set the clock, then check again; if the signature is still refused, the secret key is wrong",
        );
    }
    let clocks = if probe.skew.is_some() {
        ""
    } else {
        " (the provider told no time to compare this machine's clock with)"
    };
    Finding::problem(
        format!("wrong key: the signature is refused with the date of today, yesterday and tomorrow{clocks}"),
        format!(
            "compare the secret key with the one that the provider's support issued for {}: it is not the AccessKey \
             pair of the console",
            username.escape_debug()
        ),
    )
}

/// The host and the port, if it is written.
fn place(circumstances: &Circumstances<'_>) -> String {
    let url = &circumstances.api.base_url;
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The chain of causes comes from the HTTP client, the resolver and TLS, as text; the tests in
/// `tests/check` provoke each of them for real.
fn connect(message: &str, probe: &Probe, circumstances: &Circumstances<'_>) -> Finding {
    let place = place(circumstances);
    let host = circumstances.api.base_url.host_str().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["dns error", "failed to lookup address"]) {
        Finding::problem(
            format!("the host {host} has no address: DNS does not know it, or does not answer"),
            format!("correct api.base_url, or the DNS of this machine (try: getent hosts {host})"),
        )
    } else if has(&["certificate"]) {
        certificate(message, probe, host)
    } else if has(&["corrupt message", "InvalidContentType"]) {
        Finding::problem(
            format!("{place} answers, but does not speak TLS: it is no https server"),
            "correct the port in api.base_url; a plain server of your own on this machine is written with http://",
        )
    } else if has(&["tunnel", "proxy"]) {
        Finding::problem(
            format!("the proxy that the environment names does not connect to {place}"),
            format!("correct HTTPS_PROXY, or exclude the provider with NO_PROXY={host}"),
        )
    } else if has(&["onnection refused"]) {
        Finding::problem(
            format!("{place} is not reachable: the connection is refused, so nothing listens there"),
            "correct host and port of api.base_url, or open the firewall that rejects it",
        )
    } else if has(&["unreachable", "No route"]) {
        Finding::problem(
            format!("{place} is not reachable: there is no way to its network"),
            "check this machine's network, routes and firewall, or name a proxy in HTTPS_PROXY",
        )
    } else if message.starts_with("cannot connect") {
        Finding::problem(
            format!("{place} is not reachable"),
            "check api.base_url, and this machine's network, proxy and firewall",
        )
    } else {
        Finding::problem(
            format!("{place} closed the connection without a reply"),
            "check scheme and port of api.base_url, and what stands in between; then check again",
        )
    }
}

fn certificate(message: &str, probe: &Probe, host: &str) -> Finding {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&[
        "UnknownIssuer",
        "BadSignature",
        "unknown issuer",
        "self-signed",
        "SelfSigned",
    ]) {
        Finding::problem(
            format!("this machine does not trust who issued the certificate of {host}"),
            "install the package ca-certificates; where a proxy opens TLS, add its authority to this machine's",
        )
    } else if has(&["not valid for name", "NotValidForName"]) {
        Finding::problem(
            format!("the certificate is for another name than {host}: something else answers there"),
            "correct the host in api.base_url, and what DNS or a proxy makes of it",
        )
    } else if has(&["expired", "Expired", "not valid yet", "NotValidYet"]) {
        Finding::problem(
            format!(
                "the certificate of {host} is not valid at the time that this machine's clock shows, {}",
                minute(probe.at)
            ),
            "set the clock if it is wrong; otherwise the owner of the host must renew the certificate",
        )
    } else {
        Finding::problem(
            format!("the certificate of {host} cannot be relied on"),
            "check the host in api.base_url, and the package ca-certificates",
        )
    }
}

/// `HTTP 302: …`
fn http_status(message: &str, circumstances: &Circumstances<'_>) -> Finding {
    let code: u16 = message
        .strip_prefix("HTTP ")
        .and_then(|rest| rest.split(':').next())
        .and_then(|code| code.parse().ok())
        .unwrap_or_default();
    let place = place(circumstances);
    match code {
        300..=399 => Finding::problem(
            format!(
                "{place} redirects (HTTP {code}), which is not followed since the request carries the signature"
            ),
            "write the address where the API really is into api.base_url, https:// above all; a proxy's login page \
             redirects as well",
        ),
        404 | 405 => Finding::problem(
            format!("{place} answers, but there is no such API (HTTP {code})"),
            "correct api.base_url: it is what stands before /api/",
        ),
        401 | 403 | 407 => Finding::problem(
            format!("{place} refuses the request before the API has seen it (HTTP {code})"),
            "look for a proxy or gateway that wants credentials, or an allow list of addresses at the provider",
        ),
        408 | 500..=599 => Finding::problem(
            format!("a fault at {place} (HTTP {code})"),
            "check again in some minutes; if it stays, check api.base_url and ask the provider's support",
        ),
        _ => Finding::problem(
            format!("{place} answers with HTTP {code}, which the API is not known to do"),
            "check api.base_url and what stands between this machine and the provider",
        ),
    }
}

fn decode(failure: &Failure, circumstances: &Circumstances<'_>) -> Finding {
    let place = place(circumstances);
    if failure.message.contains("page of HTML") {
        Finding::problem(
            format!("{place} answers with a web page where the API's JSON is wanted"),
            "correct api.base_url, or let this machine past the proxy or gateway whose page it is",
        )
    } else if matches!(failure.disposition, Disposition::Retry { .. }) {
        Finding::problem(
            format!("the reply of {place} is cut off"),
            "check again; if it stays, look at what stands between this machine and the provider",
        )
    } else {
        Finding::problem(
            format!("{place} does not answer as the provider's documents describe"),
            "check api.base_url; if it is right, please report this as a defect",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::fixtures::{api, circumstances, failed, probe};
    use super::*;

    const AGAIN: Disposition = Disposition::Retry { after: None };

    #[track_caller]
    fn told(reason: Reason, disposition: Disposition, message: &str) -> Finding {
        let failure = Failure {
            reason,
            disposition,
            message: message.to_owned(),
        };
        let api = api();
        explain(&failure, &failed(failure.clone()), &circumstances(&api))
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn every_failure_says_what_is_wrong_and_what_to_do() {
        for (reason, disposition, message, what, remedy) in [
            (
                Reason::Timeout,
                AGAIN,
                "",
                "no whole reply from opencdn.jcloud.com within 10s",
                "raise api.timeout",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: client error (Connect): dns error: failed to lookup address information: Name or \
                 service not known",
                "the host opencdn.jcloud.com has no address",
                "getent hosts opencdn.jcloud.com",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: client error (Connect): tcp connect error: Connection refused (os error 111)",
                "opencdn.jcloud.com is not reachable: the connection is refused",
                "host and port of api.base_url",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: tcp connect error: Network is unreachable (os error 101)",
                "there is no way to its network",
                "routes",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: invalid peer certificate: UnknownIssuer",
                "does not trust who issued the certificate of opencdn.jcloud.com",
                "ca-certificates",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: invalid peer certificate: certificate expired: verification time …",
                "this machine's clock shows, 2026-11-22 12:04 UTC",
                "set the clock",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: invalid peer certificate: certificate not valid for name \"a\"",
                "for another name than opencdn.jcloud.com",
                "correct the host",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: received corrupt message of type InvalidContentType",
                "does not speak TLS",
                "correct the port",
            ),
            (
                Reason::Connect,
                AGAIN,
                "cannot connect: tunnel error: unsuccessful",
                "the proxy",
                "NO_PROXY=opencdn.jcloud.com",
            ),
            (
                Reason::Connect,
                AGAIN,
                "the connection ended before a reply: connection closed",
                "closed the connection without a reply",
                "scheme and port",
            ),
            (
                Reason::HttpStatus,
                Disposition::Stop,
                "HTTP 302: redirects …",
                "redirects (HTTP 302)",
                "https://",
            ),
            (
                Reason::HttpStatus,
                Disposition::Stop,
                "HTTP 404: check",
                "no such API (HTTP 404)",
                "before /api/",
            ),
            (
                Reason::HttpStatus,
                Disposition::Stop,
                "HTTP 403: check",
                "before the API has seen it",
                "allow list",
            ),
            (
                Reason::HttpStatus,
                AGAIN,
                "HTTP 502: a fault",
                "a fault at opencdn.jcloud.com (HTTP 502)",
                "again in",
            ),
            (
                Reason::HttpStatus,
                Disposition::Stop,
                "HTTP 418: check",
                "HTTP 418, which",
                "api.base_url",
            ),
            (
                Reason::Throttled,
                AGAIN,
                "HTTP 429",
                "throttles",
                "max_requests_per_second",
            ),
            (
                Reason::TooLarge,
                Disposition::Stop,
                "",
                "larger than 33554432 bytes",
                "api.max_reply_bytes",
            ),
            (
                Reason::Decode,
                Disposition::Stop,
                "the reply is a page of HTML or XML, not JSON",
                "answers with a web page",
                "proxy",
            ),
            (
                Reason::Decode,
                AGAIN,
                "the reply is cut off (line 1)",
                "is cut off",
                "check again",
            ),
            (
                Reason::Decode,
                Disposition::Stop,
                "the reply is no JSON",
                "documents describe",
                "report",
            ),
            (
                Reason::Signature,
                Disposition::Stop,
                "status 7",
                "wrong key: the signature is refused",
                "AccessKey",
            ),
            (
                Reason::UnknownUser,
                Disposition::Stop,
                "status 20",
                "none called jcloud_00",
                "correct username",
            ),
            (
                Reason::ForeignDomain,
                Disposition::Halve,
                "status 22",
                "list of one domain as too long",
                "support",
            ),
            (
                Reason::BadRequest,
                Disposition::Stop,
                "status 2",
                "refuses the request's parameters",
                "defect",
            ),
            (
                Reason::ApiError,
                AGAIN,
                "status 8",
                "a fault at the provider",
                "support",
            ),
            (
                Reason::ApiError,
                Disposition::Stop,
                "status 99",
                "does not document",
                "support",
            ),
        ] {
            let finding = told(reason, disposition, message);
            assert!(finding.grave, "{finding:?}");
            assert!(finding.what.contains(what), "{message}: {finding:?}");
            assert!(finding.remedy.contains(remedy), "{message}: {finding:?}");
        }
    }

    #[test]
    fn a_clock_that_is_off_by_days_comes_before_the_key() {
        let failure = Failure {
            reason: Reason::Signature,
            disposition: Disposition::Stop,
            message: String::new(),
        };
        let api = api();
        for (hours, what) in [
            (0, "wrong key"),
            (9, "wrong key"),
            (24, "the signature is refused: it is made"),
        ] {
            let probe = Probe {
                skew: Some(TimeDelta::hours(hours)),
                ..probe()
            };
            let finding = explain(&failure, &probe, &circumstances(&api));
            assert!(finding.what.starts_with(what), "{hours}: {finding:?}");
        }
        let probe = Probe {
            skew: None,
            ..probe()
        };
        let finding = explain(&failure, &probe, &circumstances(&api));
        assert!(finding.what.contains("told no time"), "{finding:?}");
    }
}
