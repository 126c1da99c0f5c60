//! A reload applies a configuration as a whole, keeps what is known of domains that stay, or changes nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use jdcloud_cdn_exporter::app::AppError;

use crate::fixture::{Setup, USERNAME};
use crate::truth::{self, Samples};

const DOMAINS: [&str; 3] = ["www.a.com", "img.a.com", "new.a.com"];

fn reload_succeeded(samples: &Samples) -> bool {
    samples["jdcloud_cdn_exporter_config_last_reload_successful"] > 0.0
}

/// With the provider down, so that nothing shown after the reload can have been read after it.
#[tokio::test]
async fn a_domain_that_leaves_takes_its_series_along_and_the_others_keep_theirs() {
    let exporter = Setup::of(&DOMAINS[..2]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    exporter.simulator.go_down().await;
    let down = |mut samples: Samples| {
        for (series, value) in &mut samples {
            if series.starts_with("jdcloud_cdn_up{") {
                *value = 0.0;
            }
        }
        samples
    };
    exporter.until_gauges(&down(exporter.truth(&DOMAINS[..2]))).await;

    exporter.configure(&DOMAINS[..1]);
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    let expected = down(exporter.truth(&DOMAINS[..1]));
    assert_eq!(truth::differences(&expected, &exporter.gauges().await), [""; 0]);
    let page = exporter.get("/metrics").await;
    assert!(!page.text().contains(DOMAINS[1]), "{}", page.text());
    exporter.end().await;
}

#[tokio::test]
async fn a_new_domain_is_polled_at_once_and_an_invalid_configuration_changes_nothing() {
    let mut setup = Setup::of(&DOMAINS);
    setup.interval = Duration::from_secs(3_600);
    let exporter = setup.start().await;
    exporter.configure(&DOMAINS[..2]);
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;

    exporter.configure(&DOMAINS[..1]);
    let good = exporter.text.lock().unwrap().clone();
    *exporter.text.lock().unwrap() = good.replace("units: decimal", "units: metric\n    unit: decimal");
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    for problem in ["accounts[0].units: ", "accounts[0].unit: "] {
        assert!(reply.text().contains(problem), "{}", reply.text());
    }
    assert!(!reload_succeeded(&exporter.scrape().await));
    let unchanged = exporter.truth(&DOMAINS[..2]);
    assert_eq!(truth::differences(&unchanged, &exporter.gauges().await), [""; 0]);

    exporter.configure(&DOMAINS);
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    assert!(reload_succeeded(&exporter.scrape().await));
    // The next poll of the interval is an hour away.
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter.end().await;
}

/// Values in another unit are not comparable with those before.
#[tokio::test]
async fn with_other_units_a_domain_starts_anew() {
    let exporter = Setup::of(&DOMAINS[..1]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    let text = exporter
        .text
        .lock()
        .unwrap()
        .replace("units: decimal", "units: binary");
    *exporter.text.lock().unwrap() = text;
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    let end = truth::newest_settled(exporter.clock.now().timestamp(), crate::fixture::SETTLE);
    let mut expected = truth::domain_info(DOMAINS[0], USERNAME);
    expected.extend(truth::bandwidth_flow(
        &exporter.simulator,
        DOMAINS[0],
        end,
        truth::BINARY,
    ));
    expected.extend(truth::origin_ratio(
        &exporter.simulator,
        DOMAINS[0],
        end,
        truth::BINARY,
    ));
    exporter.until_gauges(&expected).await;
    exporter.end().await;
}

/// When it last answered would grow old, and be an alert for ever.
#[tokio::test]
async fn an_endpoint_that_is_read_no_more_is_not_remembered_as_one_that_fails() {
    let exporter = Setup::of(&DOMAINS[..1]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    let answered = |endpoint: &str| {
        let labels = [("account", USERNAME), ("endpoint", endpoint)];
        truth::series("jdcloud_cdn_exporter_last_success_timestamp_seconds", &labels)
    };
    let both = exporter.scrape().await;
    assert!(both.contains_key(&answered("bandwidth_flow")) && both.contains_key(&answered("origin_ratio")));
    let live = Setup::of(&DOMAINS[..1]).live().domains;
    *exporter.text.lock().unwrap() = crate::fixture::configuration(
        &exporter.base_url,
        &live,
        "max_requests_per_second: 1000",
        "units: decimal",
    );
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    let one = exporter.scrape().await;
    assert!(one.contains_key(&answered("bandwidth_flow")) && !one.contains_key(&answered("origin_ratio")));
    exporter.end().await;
}

/// Nothing is in force before everything has been read: a defect there is a refusal like any other.
#[tokio::test]
async fn a_panic_while_a_configuration_is_read_refuses_it() {
    let mut setup = Setup::of(&DOMAINS[..2]);
    setup.adjust = |config| assert!(config.api.max_concurrency != 999, "a defect made for this test");
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    exporter.configure(&DOMAINS[..1]);
    let good = exporter.text.lock().unwrap().clone();
    *exporter.text.lock().unwrap() = good.replace("api:\n", "api:\n  max_concurrency: 999\n");
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("failed unexpectedly"), "{}", reply.text());
    assert!(!reload_succeeded(&exporter.scrape().await));
    let unchanged = exporter.truth(&DOMAINS[..2]);
    assert_eq!(truth::differences(&unchanged, &exporter.gauges().await), [""; 0]);

    *exporter.text.lock().unwrap() = good;
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    assert!(reload_succeeded(&exporter.scrape().await));
    exporter.end().await;
}

/// More permits than a semaphore can have are a panic half way through, which no validated configuration has.
#[tokio::test]
async fn a_panic_while_a_configuration_is_taken_over_ends_the_exporter() {
    let mut setup = Setup::of(&DOMAINS[..2]);
    setup.adjust = |config| {
        if config.api.max_concurrency == 999 {
            config.api.max_concurrency = usize::MAX;
        }
    };
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    let good = exporter.text.lock().unwrap().clone();
    *exporter.text.lock().unwrap() = good.replace("api:\n", "api:\n  max_concurrency: 999\n");
    // Whether the answer is still written is left open.
    let asked = crate::http::request(exporter.address, "POST", "/-/reload", &[]).await;
    assert!(asked.is_err() || asked.is_ok_and(|reply| reply.status == 500));
    let ended = exporter.ended().await;
    assert!(
        matches!(&ended, AppError::PartEnded(part) if part.contains("reload")),
        "{ended}"
    );
}

/// Each of them is answered for a configuration that was read after it had asked.
#[tokio::test]
async fn many_reloads_at_once_are_few_and_none_is_lost() {
    const AT_ONCE: usize = 100;
    const SLOW_READ: Duration = Duration::from_millis(300);
    let mut setup = Setup::of(&DOMAINS);
    setup.interval = Duration::from_secs(3_600);
    // A file that takes so long to read; those who ask meanwhile share the next reading.
    setup.adjust = |_| std::thread::sleep(SLOW_READ);
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    let before = exporter.loads.load(Ordering::Relaxed);
    for domains in [&DOMAINS[..1], &DOMAINS[..2]] {
        exporter.configure(domains);
        let reloads = (0..AT_ONCE).map(|_| exporter.ask("POST", "/-/reload", &[]));
        assert!(join_all(reloads).await.iter().all(|reply| reply.status == 200));
        let expected = exporter.truth(domains);
        exporter.until_gauges(&expected).await;
    }
    let loads = exporter.loads.load(Ordering::Relaxed) - before;
    assert!((2..AT_ONCE / 4).contains(&loads), "{loads}");
    exporter.end().await;
}

#[tokio::test]
async fn a_reload_of_the_same_changes_nothing_even_in_the_first_round() {
    let mut setup = Setup::many(40);
    setup.interval = Duration::from_secs(3_600);
    // A first round of some seconds.
    setup.api = "max_requests_per_second: 20";
    let exporter = setup.start().await;
    let names: Vec<String> = (0..40).map(|number| format!("d{number}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(exporter.get("/-/ready").await.status, 503);
    for _ in 0..20 {
        assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    }
    assert_eq!(exporter.get("/-/ready").await.status, 503);
    exporter.until_gauges(&exporter.truth(&names)).await;
    while exporter.get("/-/ready").await.status != 200 {}
    // One call for each domain and two batches: nothing was asked twice.
    assert_eq!(exporter.simulator.requests().len(), 42);
    for _ in 0..20 {
        assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    }
    assert_eq!(exporter.simulator.requests().len(), 42);
    assert_eq!(
        truth::differences(&exporter.truth(&names), &exporter.gauges().await),
        [""; 0]
    );
    assert_eq!(exporter.get("/-/ready").await.status, 200);
    exporter.end().await;
}
