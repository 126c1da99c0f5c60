//! One spike and one outage, from the provider's figures to the message and to the all-clear.

use crate::server::installed;
use crate::site::{FACTOR, IDLE, SPIKING, STEADY, Site, file};

const SPIKE: &str = "JdcloudCdnOriginRatioSpike";
const DOWN: &str = "JdcloudCdnExporterDown";

/// Asks how many evaluations an alert has been firing for; a series for each alert of the name.
fn lasting(alert: &str) -> String {
    format!("count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[1m])")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spike_and_an_outage_are_told_once_and_resolved() {
    if !installed(&["prometheus", "prometheus-alertmanager"]) {
        return;
    }
    let mut site = Site::start().await;
    let ratio = "domain:jdcloud_cdn_origin_ratio:";
    site.until("history", &format!("{ratio}baseline6h"), 3, 0.01, 0.06)
        .await;

    // 6 minutes.
    let waits = 360.0 / f64::from(u32::try_from(FACTOR).unwrap());
    assert!((site.waiting_time(SPIKE).await - waits).abs() < 1e-9);

    site.spike();
    let about_spike = |status: &str| format!("{status} {SPIKE} {SPIKING}");
    let told = site.until_told(&about_spike("firing")).await;
    let alert = &told[0];
    assert_eq!(
        alert.annotation("summary"),
        "Traffic of www.example.com falls back to the origin: 45%"
    );
    assert_eq!(
        alert.annotation("description"),
        "45% of the traffic of www.example.com is fetched from the origin, far above its own mean of the \
         last 6 hours. As measured 10 to 15 minutes ago."
    );
    let runbook = alert.annotation("runbook_url");
    let page = std::fs::read_to_string(file(runbook)).unwrap();
    assert!(page.starts_with(&format!("# {SPIKE}\n")), "{runbook}: {page}");
    assert_eq!(alert.labels["severity"], "critical");

    // Both exporters show it and the idle domain's ratio, through more evaluations than group intervals.
    let shown = format!("jdcloud_cdn_origin_ratio{{domain=\"{SPIKING}\"}}");
    site.until("both exporters", &shown, 2, 0.45, 0.45).await;
    site.until(
        "the idle domain",
        &format!("{ratio}max{{domain=\"{IDLE}\"}}"),
        1,
        1.0,
        1.0,
    )
    .await;
    site.until("a lasting alert", &lasting(SPIKE), 1, 20.0, f64::MAX)
        .await;
    assert_eq!(site.held().await, [SPIKE]);

    site.calm_down();
    let told = site.until_told(&about_spike("resolved")).await;
    let short: Vec<String> = told.iter().map(crate::receiver::Told::short).collect();
    assert_eq!(short, [about_spike("firing"), about_spike("resolved")]);

    let second = site.second();
    site.kill_second();
    let about_outage = |status: &str| format!("{status} {DOWN} {second}");
    let told = site.until_told(&about_outage("firing")).await;
    assert_eq!(
        told[2].annotation("summary"),
        format!("Prometheus cannot scrape jdcloud-cdn-exporter at {second}")
    );
    // Both of its jobs fail.
    let failing = format!("up{{instance=\"{second}\"}}");
    site.until("both jobs", &failing, 2, 0.0, 0.0).await;
    site.until("a lasting outage", &lasting(DOWN), 1, 12.0, f64::MAX)
        .await;
    site.start_second().await;
    let told = site.until_told(&about_outage("resolved")).await;
    let short: Vec<String> = told.iter().map(crate::receiver::Told::short).collect();
    assert_eq!(
        short,
        [
            about_spike("firing"),
            about_spike("resolved"),
            about_outage("firing"),
            about_outage("resolved"),
        ]
    );

    // Not even pending, at any time.
    let others = format!("count_over_time(ALERTS{{domain=~\"{IDLE}|{STEADY}\"}}[1h])");
    assert_eq!(site.ask(&others).await, []);
}
