//! A reload applies a configuration as a whole, keeps what is known of domains that stay, or changes nothing.

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
    setup.interval = std::time::Duration::from_secs(3_600);
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
