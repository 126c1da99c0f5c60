//! Several exporters that share the domains of one configuration and ask one provider.

use std::collections::BTreeSet;

use jdcloud_cdn_exporter::forecast::Forecast;
use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::plan::Shard;
use serde_json::Value;

use crate::fixture::{Running, Setup, load, millis};

/// Who owns `d0.example.com`, `d1.example.com` … of four shards, as computed by another program: FNV-1a,
/// then the largest of four outputs of `SplitMix64`.
const OWNERS: [u32; 12] = [0, 3, 2, 3, 0, 3, 3, 0, 0, 1, 1, 1];

fn name(number: usize) -> String {
    format!("d{number}.example.com")
}

/// The first so many names, or those of them that one shard owns.
fn names(count: usize, shard: Option<u32>) -> Vec<String> {
    (0..count)
        .filter(|number| shard.is_none_or(|shard| OWNERS[*number] == shard))
        .map(name)
        .collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Four exporters of the provider that the first one brings along.
async fn four(domains: usize) -> Vec<Running> {
    let mut exporters: Vec<Running> = Vec::new();
    for ordinal in 0..4 {
        let mut setup = Setup::many(domains);
        setup.shard = Shard::new(ordinal, 4).unwrap();
        setup.base_url = exporters.first().map(|first| first.simulator.base_url());
        exporters.push(setup.start().await);
    }
    exporters
}

/// Waits until each exporter shows its own domains of the first so many, and nothing else.
async fn until_each_has_its_own(exporters: &[Running], domains: usize) {
    for (ordinal, exporter) in (0..).zip(exporters) {
        let own = names(domains, Some(ordinal));
        exporter.until_gauges(&exporters[0].truth(&texts(&own))).await;
    }
}

#[tokio::test]
async fn four_shards_serve_every_domain_exactly_once_and_a_reload_keeps_it() {
    let exporters = four(12).await;
    until_each_has_its_own(&exporters, 12).await;
    for (ordinal, exporter) in (0_u32..).zip(&exporters) {
        let samples = exporter.scrape().await;
        assert!((samples["jdcloud_cdn_exporter_shard_ordinal"] - f64::from(ordinal)).abs() < 1e-9);
        assert!((samples["jdcloud_cdn_exporter_shards"] - 4.0).abs() < 1e-9);
        let status: Value = serde_json::from_slice(&exporter.get("/api/status").await.body).unwrap();
        assert_eq!(
            status["shard"],
            serde_json::json!({"ordinal": ordinal, "count": 4})
        );
        let page = exporter.get("/").await;
        assert!(
            page.text().contains(&format!("shard {ordinal}/4")),
            "{}",
            page.text()
        );
    }
    // What was asked for together belongs to one shard: batches are made of the shard's own domains.
    let asked: BTreeSet<Vec<String>> = exporters[0]
        .simulator
        .requests()
        .iter()
        .filter(|request| request.endpoint == Endpoint::OriginRatio)
        .map(|request| {
            let mut domains: Vec<String> = request.domains.iter().map(ToString::to_string).collect();
            domains.sort();
            domains
        })
        .collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let shares: BTreeSet<Vec<String>> = (0..4)
        .map(|ordinal| sorted(names(12, Some(ordinal))))
        .filter(|share| !share.is_empty())
        .collect();
    assert_eq!(asked, shares);

    // Six leave and five come back, each where it belongs.
    for domains in [6, 11] {
        let all = names(domains, None);
        for exporter in &exporters {
            exporter.configure(&texts(&all));
            let reply = exporter.ask("POST", "/-/reload", &[]).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        until_each_has_its_own(&exporters, domains).await;
    }
    for exporter in exporters {
        exporter.end().await;
    }
}

/// `www.a.com` is shard 0's of 2, by the same computation.
#[tokio::test]
async fn a_shard_without_domains_is_ready_and_shows_none() {
    let mut setup = Setup::of(&["www.a.com"]);
    setup.shard = Shard::new(1, 2).unwrap();
    let exporter = setup.start().await;
    assert_eq!(exporter.get("/-/ready").await.status, 200);
    assert!(exporter.gauges().await.is_empty());
    assert_eq!(exporter.get("/windows").await.status, 200);
    assert_eq!(exporter.simulator.request_count(Endpoint::BandwidthFlow), 0);
    exporter.end().await;
}

#[tokio::test]
async fn targets_are_those_of_the_configuration_in_use() {
    let mut setup = Setup::of(&["www.a.com"]);
    setup.shard = Shard::new(0, 2).unwrap();
    setup.interval = millis(3_600_000);
    let exporter = setup.start().await;
    let reply = exporter.get("/sd").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("under the key shards"), "{}", reply.text());

    let without = exporter.text.lock().unwrap().clone();
    let list = |addresses: &str| {
        *exporter.text.lock().unwrap() = format!("shards: [{addresses}]\n{without}");
    };
    list("a.example.com:1, b.example.com:2");
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    let targets = || async {
        let reply = exporter.get("/sd").await;
        assert_eq!(reply.header("content-type"), Some("application/json"));
        serde_json::from_slice::<Value>(&reply.body).unwrap()
    };
    let target = |address, ordinal| {
        let labels =
            serde_json::json!({"__meta_jdcloud_cdn_shard": ordinal, "__meta_jdcloud_cdn_shards": "2"});
        serde_json::json!({"targets": [address], "labels": labels})
    };
    let two = Value::from(vec![
        target("a.example.com:1", "0"),
        target("b.example.com:2", "1"),
    ]);
    assert_eq!(targets().await, two);

    // Three are not two: nothing is changed.
    list("a.example.com:1, b.example.com:2, c.example.com:3");
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    assert!(
        reply
            .text()
            .contains("test.yaml: shards: lists 3, and this is shard 0/2; "),
        "{}",
        reply.text()
    );
    assert_eq!(targets().await, two);
    exporter.end().await;
}

/// In half a second 10 a second allow five calls: those of four domains.
#[tokio::test]
async fn a_reload_that_cannot_be_polled_in_time_changes_nothing() {
    let all = names(5, None);
    let all = texts(&all);
    let mut setup = Setup::of(&all);
    setup.interval = millis(500);
    setup.api = "max_requests_per_second: 20";
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&all)).await;
    let good = exporter.text.lock().unwrap().clone();
    let slower = good.replace("second: 20", "second: 10");
    *exporter.text.lock().unwrap() = slower.clone();
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    for part in [
        "test.yaml: accounts[0].domains: take 6 calls every 500ms (",
        " and api.max_requests_per_second: 10 allows 5; ",
    ] {
        assert!(reply.text().contains(part), "{}", reply.text());
    }
    exporter.until_gauges(&exporter.truth(&all)).await;

    *exporter.text.lock().unwrap() = slower.replace("      - d4.example.com\n", "");
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    exporter.until_gauges(&exporter.truth(&all[..4])).await;
    exporter.end().await;
}

/// What `plan` promises of a page is what the page has once everything has been polled: domains of both
/// endpoints and of one, and a share of them.
#[tokio::test]
async fn the_forecast_is_the_number_of_samples_that_are_served() {
    for shard in ["0/1", "1/2", "1/4"] {
        let shard: Shard = shard.parse().unwrap();
        let mut setup = Setup::many(12);
        for domain in setup.domains.iter_mut().skip(7) {
            domain.live_only = true;
        }
        setup.shard = shard;
        let exporter = setup.start().await;
        let config = load(&exporter.text.lock().unwrap(), millis(100), shard).unwrap();
        let forecast = Forecast::of_shard(&config, shard).unwrap();
        let promised = &forecast.shares[0];
        // The traffic moves, so the endpoints can be compared.
        exporter
            .until_samples(&format!("{promised:?}"), |samples| {
                samples.len() == promised.domain_series + promised.own_series
            })
            .await;
        let shown = exporter.get("/windows").await;
        let lines = shown
            .text()
            .lines()
            .filter(|line| line.starts_with("jdcloud_cdn_window_"))
            .count();
        assert_eq!(lines, promised.window_samples, "{shard}");
        exporter.end().await;
    }
}
