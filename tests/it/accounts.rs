//! Accounts do not wait for each other: whatever the provider does to one, another is polled in its time.

use std::time::Duration;

use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::simulator::{Fault, OwnedDomain, RetryAfter, Rule, SimulatedAccount, Target};

use crate::fixture::{Running, SECRET_KEY, Setup, USERNAME};
use crate::truth::{domain_info, series};

const OTHER: &str = "other";
const INTERVAL: Duration = Duration::from_secs(1);
/// Polls of the other account that are looked at under each fault.
const POLLS: usize = 3;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// When the other account was asked for at an endpoint.
fn polls(exporter: &Running, endpoint: Endpoint) -> Vec<tokio::time::Instant> {
    let requests = exporter.simulator.requests();
    let of_other = requests
        .iter()
        .filter(|request| request.username == OTHER && request.endpoint == endpoint);
    of_other.map(|request| request.at).collect()
}

#[tokio::test]
async fn what_happens_to_one_account_delays_no_other() {
    let mut setup = Setup::many(12);
    let struck: Vec<Domain> = setup.domains.iter().map(|owned| owned.name.clone()).collect();
    setup.interval = INTERVAL;
    setup.others = vec![SimulatedAccount {
        username: OTHER.to_owned(),
        secret_key: SECRET_KEY.into(),
        domains: ["www.b.com", "img.b.com"]
            .map(|name| OwnedDomain::new(domain(name)))
            .to_vec(),
    }];
    setup.text = Some(|base_url| {
        let account = |username: &str, domains: &str| {
            format!("  - {{username: {username}, secret_key: {SECRET_KEY}, domains: {domains}}}\n")
        };
        format!(
            "api: {{base_url: \"{base_url}\", timeout: 3s, max_concurrency: 4, max_requests_per_second: 100}}\naccounts:\n{}{}",
            account(USERNAME, "{discover: {}}"),
            // One that is discovered, and one that is not: both ways are another's.
            account(OTHER, "{discover: {include: [^img]}, list: [www.b.com]}"),
        )
    });
    let exporter = setup.start().await;
    let names: Vec<&str> = struck.iter().map(Domain::as_str).collect();
    let mut all = exporter.truth(&names);
    all.extend(exporter.truth(&["www.b.com", "img.b.com"]));
    for name in ["www.b.com", "img.b.com"] {
        let mine = domain_info(name, USERNAME);
        all.retain(|series, _| !mine.contains_key(series));
        all.extend(domain_info(name, OTHER));
    }
    exporter.until_gauges(&all).await;

    let rate = |account| {
        series(
            "jdcloud_cdn_exporter_api_request_rate_limit_per_second",
            &[("account", account)],
        )
    };
    let throttled = Fault::HttpStatus {
        code: 429,
        retry_after: Some(RetryAfter::Seconds(1)),
    };
    for (fault, reason) in [
        (throttled, "throttled"),
        (Fault::Status(7), "signature"),
        (Fault::CloseBeforeReply, "connect"),
        // 80 MiB, of which 32 are read.
        (Fault::Oversize, "too_large"),
        // It takes all that the account may have under way, so it comes last.
        (Fault::Hang, "timeout"),
    ] {
        for target in [
            Target::Read(Endpoint::BandwidthFlow),
            Target::Read(Endpoint::OriginRatio),
            Target::List,
        ] {
            for domain in &struck {
                exporter
                    .simulator
                    .faults()
                    .add(target, Rule::always(fault).for_domain(domain));
            }
        }
        let before = Endpoint::ALL.map(|endpoint| polls(&exporter, endpoint).len());
        for (endpoint, before) in Endpoint::ALL.into_iter().zip(before) {
            // Two domains are two calls at bandwidth_flow, in their places in the interval.
            let wanted = before + POLLS;
            exporter
                .until_requests("polls of the other account", |_| {
                    polls(&exporter, endpoint).len() >= wanted
                })
                .await;
            let seen = polls(&exporter, endpoint);
            for pair in seen[before.saturating_sub(1)..].windows(2) {
                let apart = pair[1] - pair[0];
                assert!(apart < 2 * INTERVAL, "{fault} {endpoint}: {apart:?} apart");
            }
        }
        let struck = [("endpoint", "bandwidth_flow"), ("reason", reason)];
        let struck = series("jdcloud_cdn_exporter_api_request_failures_total", &struck);
        let samples = exporter.until_samples(reason, |now| now[&struck] > 0.5).await;
        assert!((samples[&rate(OTHER)] - 100.0).abs() < 1e-9, "{fault}");
        assert!(fault != throttled || samples[&rate(USERNAME)] < 100.0, "{fault}");
        exporter.simulator.faults().clear_all();
    }
    exporter.end().await;
}
