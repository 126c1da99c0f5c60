//! Settings that come from variables of the environment.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::super::Settle;
use super::*;
use crate::model::{Endpoint, LabelledBy, Units};

#[test]
fn every_setting_can_come_from_the_environment() {
    let variables = [
        ("API__BASE_URL", "http://127.0.0.1:9/x"),
        ("API__TIMEOUT", "5s"),
        ("API__MAX_CONCURRENCY", "3"),
        ("API__MAX_REQUESTS_PER_SECOND", "0.5"),
        ("API__MAX_REPLY_BYTES", "4096"),
        ("API__TIME_ZONE", "UTC"),
        ("API__ALLOW_PLAIN_HTTP", "true"),
        ("POLL__INTERVAL", "2s"),
        ("POLL__WINDOW", "2h"),
        ("POLL__SETTLE", "0s"),
        ("POLL__STALE_AFTER", "1h30m"),
        ("ACCOUNTS__0__USERNAME", "12345"),
        ("ACCOUNTS__0__NAME", "n"),
        ("ACCOUNTS__0__SECRET_KEY", "0123456789"),
        ("ACCOUNTS__0__UNITS", "binary"),
        ("ACCOUNTS__0__ORIGIN_RATIO_LABEL", "start"),
        ("ACCOUNTS__0__BANDWIDTH_FLOW_BATCH", "7"),
        ("ACCOUNTS__0__ORIGIN_RATIO_BATCH", "9"),
        ("SHARDS__0", "a.example.com:1"),
        ("SHARDS__1", "[::1]:2"),
        ("ACCOUNTS__0__MAX_DOMAINS", "2"),
        ("ACCOUNTS__0__DOMAINS__0", "www.b.com"),
        ("ACCOUNTS__0__DOMAINS__1__NAME", "www.c.com"),
        ("ACCOUNTS__0__DOMAINS__1__ENDPOINTS__0", "origin_ratio"),
        ("ACCOUNTS__1__USERNAME", "second"),
        ("ACCOUNTS__1__SECRET_KEY", "9876543210"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__INCLUDE__0", "^www"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__EXCLUDE__0", "^test"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__TYPES__0", "下载"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__ENDPOINTS__0", "bandwidth_flow"),
        ("ACCOUNTS__1__DOMAINS__LIST__0", "www.d.com"),
        ("ACCOUNTS__1__DOMAINS__LIST__1__NAME", "www.e.com"),
        ("ACCOUNTS__1__DOMAINS__LIST__1__ENDPOINTS__0", "origin_ratio"),
    ];
    let environment: Environment = variables
        .iter()
        .map(|(name, value)| (format!("JDCLOUD_CDN_EXPORTER__{name}"), *value))
        .collect();
    let Config {
        api,
        poll,
        shards,
        accounts,
        unheard,
    } = load(&file(smallest()).path, &environment).unwrap();
    assert_eq!(unheard, []);
    assert_eq!(api.base_url.as_str(), "http://127.0.0.1:9/x");
    assert_eq!(api.timeout, Duration::from_secs(5));
    assert_eq!(api.max_concurrency, 3);
    assert!((api.max_requests_per_second - 0.5).abs() < f64::EPSILON);
    assert_eq!(api.max_reply_bytes, 4096);
    assert_eq!(api.time_zone.local_minus_utc(), 0);
    assert!(api.allow_plain_http);
    assert_eq!(poll.interval, Duration::from_secs(2));
    assert_eq!(poll.window, Duration::from_secs(7200));
    assert_eq!(poll.settle, Settle::Fixed(Duration::ZERO));
    assert_eq!(poll.stale_after, Duration::from_secs(5400));
    let account = &accounts[0];
    assert_eq!(account.username, "12345");
    assert_eq!(account.name.as_str(), "n");
    assert_eq!(account.secret_key.expose_secret(), "0123456789");
    assert_eq!(account.units, Units::Binary);
    assert_eq!(account.origin_ratio_label, LabelledBy::Start);
    assert_eq!((account.bandwidth_flow_batch, account.origin_ratio_batch), (7, 9));
    assert_eq!(shards, ["a.example.com:1", "[::1]:2"]);
    assert_eq!(account.max_domains, 2);
    assert_eq!(account.domains[0].name.as_str(), "www.b.com");
    assert_eq!(account.domains[1].name.as_str(), "www.c.com");
    assert_eq!(account.domains[1].endpoints, [Endpoint::OriginRatio]);
    assert_eq!(account.discover, None);
    let discover = accounts[1].discover.as_ref().unwrap();
    assert_eq!(discover.include[0].as_str(), "^www");
    assert_eq!(discover.exclude[0].as_str(), "^test");
    assert_eq!(discover.types, ["下载"]);
    assert_eq!(discover.endpoints, [Endpoint::BandwidthFlow]);
    assert_eq!(accounts[1].domains[0].name.as_str(), "www.d.com");
    assert_eq!(accounts[1].domains[1].endpoints, [Endpoint::OriginRatio]);
}

#[test]
fn a_value_of_the_environment_is_refused_under_its_variable() {
    let variables = [
        ("JDCLOUD_CDN_EXPORTER__API__TIMEOUT", "5"),
        ("JDCLOUD_CDN_EXPORTER__API__MAX_CONCURENCY", "5"),
    ];
    assert_eq!(
        problems(&smallest(), &variables),
        [
            "JDCLOUD_CDN_EXPORTER__API__MAX_CONCURENCY: names no setting; did you mean \
             JDCLOUD_CDN_EXPORTER__API__MAX_CONCURRENCY?",
            "JDCLOUD_CDN_EXPORTER__API__TIMEOUT: api.timeout: is a number without a unit; write 5s for \
             seconds, 5m for minutes",
        ]
    );
}
