//! The provider is down, slow or wrong: nothing becomes 0, nothing else is touched, and it comes back.

use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::simulator::{Fault, Rule};

use crate::fixture::{Running, STALE_AFTER, Setup, at, millis};
use crate::page;
use crate::truth::{self, Samples};

const DOMAINS: [&str; 2] = ["www.a.com", "img.a.com"];

/// The same samples with every `up` at 0.
fn down(mut samples: Samples) -> Samples {
    for (series, value) in &mut samples {
        if series.starts_with("jdcloud_cdn_up{") {
            *value = 0.0;
        }
    }
    samples
}

/// What is left of domains that have nothing to show.
fn bare(samples: &Samples) -> Samples {
    let stays =
        |name: &str| name.starts_with("jdcloud_cdn_up{") || name.starts_with("jdcloud_cdn_domain_info{");
    let kept = samples.iter().filter(|(series, _)| stays(series));
    down(kept.map(|(series, value)| (series.clone(), *value)).collect())
}

fn failures(samples: &Samples, endpoint: Endpoint, reason: &str) -> f64 {
    let labels = [("endpoint", endpoint.name()), ("reason", reason)];
    samples[&truth::series("jdcloud_cdn_exporter_api_request_failures_total", &labels)]
}

fn polls(samples: &Samples, endpoint: Endpoint) -> f64 {
    let labels = [("endpoint", endpoint.name())];
    samples[&truth::series("jdcloud_cdn_exporter_polls_total", &labels)]
}

async fn ready(exporter: &Running) -> (u16, String) {
    let reply = exporter.get("/-/ready").await;
    (reply.status, reply.text().to_owned())
}

#[tokio::test]
async fn values_stay_until_they_are_stale_then_vanish_and_return() {
    let exporter = Setup::of(&DOMAINS).start().await;
    let whole = exporter.truth(&DOMAINS);
    exporter.until_gauges(&whole).await;

    exporter.simulator.go_down().await;
    exporter.until_gauges(&down(whole.clone())).await;

    // What was read last is the window that ended at 04:05; it has settled meanwhile.
    let last = at("2026-03-14T04:05:00Z");
    exporter.clock.set(last + chrono::TimeDelta::seconds(STALE_AFTER));
    let kept = down(exporter.truth_of(&DOMAINS, last.timestamp()));
    assert_eq!(truth::differences(&kept, &exporter.gauges().await), [""; 0]);
    exporter.advance(1);
    let gone = bare(&whole);
    assert_eq!(gone.len(), 6);
    assert_eq!(truth::differences(&gone, &exporter.gauges().await), [""; 0]);

    exporter.simulator.come_back().await.unwrap();
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter.end().await;
}

#[tokio::test]
async fn it_starts_and_gets_ready_while_the_provider_is_down() {
    let mut setup = Setup::of(&DOMAINS);
    setup.down = true;
    let exporter = setup.start().await;
    let expected = bare(&exporter.truth(&DOMAINS));
    let refused = |samples: &Samples| Endpoint::ALL.map(|endpoint| failures(samples, endpoint, "connect"));
    exporter
        .until_samples("refused connections at both endpoints", |samples| {
            refused(samples).iter().all(|count| *count > 2.0)
        })
        .await;
    assert_eq!(truth::differences(&expected, &exporter.gauges().await), [""; 0]);
    assert_eq!(ready(&exporter).await.0, 200);
    assert_eq!(exporter.get("/-/healthy").await.status, 200);

    exporter.simulator.come_back().await.unwrap();
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter.end().await;
}

#[tokio::test]
async fn it_is_ready_once_every_first_round_has_ended_even_badly() {
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.api = "timeout: 3s\n  max_requests_per_second: 1000";
    setup.faults = vec![(Endpoint::OriginRatio, Fault::Hang)];
    let exporter = setup.start().await;
    exporter
        .until_requests("the request that hangs", |records| {
            records
                .iter()
                .any(|record| record.endpoint == Endpoint::OriginRatio)
        })
        .await;
    let (status, why) = ready(&exporter).await;
    assert_eq!(status, 503);
    assert!(why.contains("jcloud_00") && why.contains("origin_ratio"), "{why}");
    let samples = exporter
        .until_samples("the timeout", |samples| {
            failures(samples, Endpoint::OriginRatio, "timeout") > 0.0
        })
        .await;
    let up = truth::series(
        "jdcloud_cdn_up",
        &[("domain", DOMAINS[0]), ("endpoint", "bandwidth_flow")],
    );
    assert!(samples[&up] > 0.0, "the other endpoint works all the time");
    let began = tokio::time::Instant::now();
    while ready(&exporter).await.0 != 200 {
        assert!(began.elapsed() < millis(10_000), "{}", ready(&exporter).await.1);
        tokio::time::sleep(millis(10)).await;
    }
    exporter.end().await;
}

#[tokio::test]
async fn what_cannot_be_a_reply_is_counted_by_its_reason_and_touches_nothing_else() {
    let mut setup = Setup::of(&DOMAINS);
    // So that little has to be sent before a reply is too large.
    setup.api = "max_requests_per_second: 1000\n  max_reply_bytes: 1MiB";
    let exporter = setup.start().await;
    let whole = exporter.truth(&DOMAINS);
    exporter.until_gauges(&whole).await;
    for (fault, reason) in [
        (Fault::Redirect, "http_status"),
        (Fault::Oversize, "too_large"),
        (Fault::Bomb, "too_large"),
        (Fault::Endless, "too_large"),
        (Fault::HtmlPage, "decode"),
        (Fault::Status(20), "unknown_user"),
    ] {
        for endpoint in Endpoint::ALL {
            let before = failures(&exporter.scrape().await, endpoint, reason);
            exporter
                .simulator
                .faults()
                .add(endpoint, Rule::always(fault).times(1));
            let samples = exporter
                .until_samples(&format!("{fault} at {endpoint}"), |samples| {
                    failures(samples, endpoint, reason) > before
                })
                .await;
            // Values stay whatever happens; only this endpoint's `up` may be 0.
            let mut shown = page::about_domains(&samples);
            for domain in DOMAINS {
                let up = truth::series(
                    "jdcloud_cdn_up",
                    &[("domain", domain), ("endpoint", endpoint.name())],
                );
                shown.insert(up, 1.0);
            }
            assert_eq!(
                truth::differences(&whole, &shown),
                [""; 0],
                "{fault} at {endpoint}"
            );
            // A failure is counted before its poll ends and `up` falls, which must be over by then.
            let ended = polls(&samples, endpoint);
            exporter
                .until_samples("more polls", |samples| polls(samples, endpoint) >= ended + 10.0)
                .await;
            exporter.until_gauges(&whole).await;
        }
    }
    assert_eq!(exporter.simulator.stray_requests(), 0, "a redirect was followed");
    exporter.end().await;
}
