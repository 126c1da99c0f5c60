//! What the provider is asked: the shape of requests, their signature, and when they come.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::FixedOffset;
use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::simulator::{Fault, RequestRecord};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::fixture::{Running, SECRET_KEY, Setup, USERNAME, at, millis};
use crate::truth;

const HOUR: Duration = Duration::from_secs(3_600);

fn of(records: &[RequestRecord], endpoint: Endpoint) -> Vec<&RequestRecord> {
    records
        .iter()
        .filter(|record| record.endpoint == endpoint)
        .collect()
}

/// Waits for so many requests to each endpoint.
async fn first_round(exporter: &Running, counts: [usize; 2]) -> Vec<RequestRecord> {
    exporter
        .until_requests(&format!("{counts:?} requests"), |records| {
            Endpoint::ALL.map(|endpoint| of(records, endpoint).len()) == counts
        })
        .await
}

#[tokio::test]
async fn a_request_is_the_documented_one_byte_for_byte() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::of(&["play.live.com"]).live();
    setup.base_url = Some(format!("http://{}/prefix/", provider.local_addr().unwrap()));
    setup.now = at("2016-10-22T16:07:30Z");
    let exporter = setup.start().await;
    let (mut stream, _) = tokio::time::timeout(Duration::from_secs(10), provider.accept())
        .await
        .unwrap()
        .unwrap();
    // The signature is that of the documents' input, as coreutils' md5sum computes it.
    let body = r#"{"username":"jcloud_00","signature":"a35685491fd80a80b40a718c3a5c5c56","domain":"play.live.com","start_time":"2016-10-22 23:10","end_time":"2016-10-23 00:05"}"#;
    let mut got = Vec::new();
    while !got.ends_with(body.as_bytes()) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut got)).await;
        let count = read
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&got)))
            .unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&got));
    }
    let text = String::from_utf8(got).unwrap();
    let (head, sent) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(sent, body);
    let lines: BTreeSet<String> = head.lines().map(str::to_lowercase).collect();
    for line in [
        "post /prefix/api/live/bandwidth_flow http/1.1".to_owned(),
        "content-type: application/json".to_owned(),
        format!("content-length: {}", body.len()),
        format!("user-agent: jdcloud-cdn-exporter/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(lines.contains(&line), "{line}: {head}");
    }
    exporter.end().await;
}

#[tokio::test]
async fn domains_are_asked_for_in_batches_each_once() {
    for (account, flow_batch, ratio_batch) in [
        ("units: decimal", 1, 20),
        ("bandwidth_flow_batch: 10\n    origin_ratio_batch: 7", 10, 7),
    ] {
        let mut setup = Setup::many(45);
        setup.interval = HOUR;
        setup.account = account;
        let names: BTreeSet<String> = setup.domains.iter().map(|d| d.name.to_string()).collect();
        let exporter = setup.start().await;
        let calls = [45_usize.div_ceil(flow_batch), 45_usize.div_ceil(ratio_batch)];
        let records = first_round(&exporter, calls).await;
        for (endpoint, batch) in Endpoint::ALL.into_iter().zip([flow_batch, ratio_batch]) {
            let calls = of(&records, endpoint);
            assert!(
                calls.iter().all(|call| (1..=batch).contains(&call.domains.len())),
                "{endpoint}: {calls:#?}"
            );
            let asked: Vec<&String> = calls.iter().flat_map(|call| &call.domains).collect();
            assert_eq!(asked.len(), 45, "{endpoint}");
            assert_eq!(asked.into_iter().cloned().collect::<BTreeSet<_>>(), names);
        }
        exporter.end().await;
    }
}

/// What coreutils make of a text.
fn md5sum(text: &str) -> String {
    let mut child = Command::new("md5sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("md5sum, a part of coreutils");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()[..32].to_owned()
}

/// The date is that of the provider's zone at the moment of sending, on both sides of midnight.
#[tokio::test]
async fn signatures_are_what_md5sum_computes_for_the_date_in_the_providers_zone() {
    for (api, zone, moments) in [
        (
            "max_requests_per_second: 1000",
            8 * 3_600,
            [
                ("2016-10-22T15:59:59Z", "20161022"),
                ("2016-10-22T16:00:00Z", "20161023"),
                ("2016-10-22T23:30:00Z", "20161023"),
                ("2016-12-31T16:00:01Z", "20170101"),
            ],
        ),
        (
            "max_requests_per_second: 1000\n  time_zone: \"-03:30\"",
            -(3 * 3_600 + 1_800),
            [
                ("2016-10-22T03:29:59Z", "20161021"),
                ("2016-10-22T03:30:00Z", "20161022"),
                ("2016-10-22T23:59:59Z", "20161022"),
                ("2017-01-01T03:29:59Z", "20161231"),
            ],
        ),
    ] {
        let mut setup = Setup::of(&["www.a.com"]);
        setup.api = api;
        setup.time_zone = FixedOffset::east_opt(zone).unwrap();
        setup.now = at(moments[0].0);
        let exporter = setup.start().await;
        for (moment, date) in moments {
            exporter.clock.set(at(moment));
            exporter.polled_anew().await;
            let expected = md5sum(&format!("{date}{USERNAME}{SECRET_KEY}"));
            let records = exporter.simulator.requests();
            for endpoint in Endpoint::ALL {
                let newest = *of(&records, endpoint).last().unwrap();
                assert_eq!(newest.signature.expose_secret(), expected, "{moment} {endpoint}");
                assert_eq!(newest.username, USERNAME);
            }
        }
        // The simulator refused none of them, so that the newest windows are there.
        exporter.until_gauges(&exporter.truth(&["www.a.com"])).await;
        let refused = [("endpoint", "origin_ratio"), ("reason", "signature")];
        let refused = truth::series("jdcloud_cdn_exporter_api_request_failures_total", &refused);
        assert!(exporter.scrape().await[&refused] < 1.0);
        exporter.end().await;
    }
}

/// The requests of both endpoints together; 24 of them at 20 a second take at least 23 spaces of 50 ms.
#[tokio::test]
async fn the_accounts_request_rate_holds_in_the_first_round() {
    let mut setup = Setup::many(23);
    setup.interval = HOUR;
    setup.api = "max_requests_per_second: 20";
    setup.account = "origin_ratio_batch: 23";
    let exporter = setup.start().await;
    let records = first_round(&exporter, [23, 1]).await;
    let took = records.last().unwrap().at - records[0].at;
    // A busy machine may let the first one wait, and some come together after it.
    assert!(took > millis(23 * 50 * 4 / 5), "{took:?}");
    for (place, first) in records.iter().enumerate() {
        let soon = records[place..]
            .iter()
            .filter(|record| record.at - first.at < millis(250))
            .count();
        assert!(soon <= 12, "{soon} requests in a quarter of a second");
    }
    exporter.end().await;
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_configured() {
    let mut setup = Setup::many(12);
    setup.interval = HOUR;
    setup.api = "max_requests_per_second: 1000\n  max_concurrency: 3";
    setup.faults = Endpoint::ALL
        .map(|endpoint| (endpoint, Fault::Latency(millis(150))))
        .to_vec();
    let names: Vec<String> = setup.domains.iter().map(|d| d.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let exporter = setup.start().await;
    first_round(&exporter, [12, 1]).await;
    exporter.until_gauges(&exporter.truth(&names)).await;
    assert_eq!(exporter.simulator.max_concurrency(), 3);
    exporter.end().await;
}

#[tokio::test]
async fn a_poll_never_overlaps_itself() {
    let mut setup = Setup::of(&["play.live.com"]).live();
    setup.faults = vec![(Endpoint::BandwidthFlow, Fault::Latency(millis(350)))];
    let exporter = setup.start().await;
    let records = exporter
        .until_requests("five polls", |records| records.len() >= 5)
        .await;
    assert_eq!(exporter.simulator.max_concurrency(), 1);
    for pair in records.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= millis(350), "{apart:?}");
    }
    let overruns = [("endpoint", "bandwidth_flow")];
    let overruns = truth::series("jdcloud_cdn_exporter_poll_overruns_total", &overruns);
    assert!(exporter.scrape().await[&overruns] > 3.0);
    exporter.end().await;
}

/// The first round goes at once; from then on each domain has its place in the interval.
#[tokio::test]
async fn after_the_first_round_requests_are_spread_over_the_interval() {
    let interval = millis(2_000);
    let mut setup = Setup::many(24).live();
    setup.interval = interval;
    let exporter = setup.start().await;
    let records = exporter
        .until_requests("four rounds", |records| records.len() >= 24 * 4)
        .await;
    let burst = records[23].at - records[0].at;
    assert!(burst < interval / 2, "the first round took {burst:?}");

    let mut polls: BTreeMap<&str, Vec<tokio::time::Instant>> = BTreeMap::new();
    for record in &records {
        polls.entry(&record.domains[0]).or_default().push(record.at);
    }
    assert_eq!(polls.len(), 24);
    for (domain, polls) in &polls {
        assert!(polls.len() >= 3, "{domain}: {polls:?}");
        // From its second poll on, a domain keeps its place.
        for pair in polls[1..].windows(2) {
            let apart = pair[1] - pair[0];
            assert!(
                (interval * 3 / 4..interval * 5 / 4).contains(&apart),
                "{domain}: {apart:?}"
            );
        }
    }
    // Evenly spread, an eighth of the interval holds 3 of 24; a burst would hold all of them.
    let later: Vec<_> = polls.values().map(|polls| polls[1]).collect();
    for first in &later {
        let near = later
            .iter()
            .filter(|at| **at >= *first && **at - *first < interval / 8)
            .count();
        assert!(
            near <= 10,
            "{near} of 24 requests within an eighth of the interval"
        );
    }
    exporter.end().await;
}
