//! Every gauge shows what the provider gave, of the newest settled window and no other.

use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::{Effect, Lateness, Script, Traffic};

use crate::fixture::{SETTLE, Setup, USERNAME, at};
use crate::page;
use crate::truth::{self, BINARY, DECIMAL, Samples};

const DOMAINS: [&str; 3] = ["www.a.com", "img.a.com", "play.live.com"];
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

#[tokio::test]
async fn every_gauge_equals_the_providers_numbers_in_both_formats() {
    let mut setup = Setup::of(&DOMAINS);
    setup.domains[2].live_only = true;
    let exporter = setup.start().await;
    // 04:07:30 less 10 minutes: the newest window that has settled ends at 03:55.
    let end = at("2026-03-14T03:55:00Z").timestamp();
    let mut expected = exporter.truth_of(&DOMAINS[..2], end);
    expected.extend(truth::bandwidth_flow(
        &exporter.simulator,
        "play.live.com",
        end,
        DECIMAL,
    ));
    expected.extend(truth::domain_info("play.live.com", USERNAME));
    assert_eq!(expected.len(), 2 * 10 + 5, "{expected:#?}");
    exporter.until_gauges(&expected).await;

    let reply = exporter.ask("GET", "/metrics", &[("Accept", OPEN)]).await;
    assert_eq!(
        reply.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(reply.text().ends_with("\n# EOF\n"));
    let shown = page::about_domains(&page::samples(reply.text()));
    assert_eq!(truth::differences(&expected, &shown), [""; 0]);
    exporter.end().await;
}

#[tokio::test]
async fn binary_units_count_in_powers_of_two() {
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.account = "units: binary";
    let exporter = setup.start().await;
    let end = at("2026-03-14T03:55:00Z").timestamp();
    let mut expected = truth::domain_info(DOMAINS[0], USERNAME);
    expected.extend(truth::bandwidth_flow(
        &exporter.simulator,
        DOMAINS[0],
        end,
        BINARY,
    ));
    expected.extend(truth::origin_ratio(&exporter.simulator, DOMAINS[0], end, BINARY));
    exporter.until_gauges(&expected).await;
    exporter.end().await;
}

#[tokio::test]
async fn a_window_appears_when_it_settles_and_not_a_second_before() {
    let exporter = Setup::of(&DOMAINS[..1]).start().await;
    let end = at("2026-03-14T04:05:00Z").timestamp();
    for (clock, shown) in [
        ("2026-03-14T04:14:59Z", end - 300),
        ("2026-03-14T04:15:00Z", end),
        ("2026-03-14T04:19:59Z", end),
        ("2026-03-14T04:20:00Z", end + 300),
    ] {
        exporter.clock.set(at(clock));
        exporter.polled_anew().await;
        let expected = exporter.truth_of(&DOMAINS[..1], shown);
        assert_eq!(
            truth::differences(&expected, &exporter.gauges().await),
            [""; 0],
            "{clock}"
        );
    }
    exporter.end().await;
}

/// Every window carries three times its true figures until it settles: none of that is ever shown.
#[tokio::test]
async fn what_is_not_settled_is_never_shown() {
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.traffic = Traffic {
        scripts: vec![Script {
            domain: Domain::parse(DOMAINS[0]).unwrap(),
            first: truth::window(at("2026-03-14T03:00:00Z").timestamp()),
            last: truth::window(at("2026-03-14T06:00:00Z").timestamp()),
            effect: Effect::Preliminary {
                factor: 3.0,
                until_age: 600,
            },
        }],
        ..Traffic::prompt(7)
    };
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    for _ in 0..12 {
        exporter.advance(60);
        exporter.polled_anew().await;
        let expected = exporter.truth(&DOMAINS[..1]);
        assert_eq!(truth::differences(&expected, &exporter.gauges().await), [""; 0]);
    }
    exporter.end().await;
}

/// A window that comes late leaves the one before it on show, and a gap is filled by a later poll.
#[tokio::test]
async fn late_windows_and_gaps() {
    let late = at("2026-03-14T04:05:00Z").timestamp();
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.traffic = Traffic {
        lateness: Lateness::PROMPT,
        scripts: vec![Script {
            domain: Domain::parse(DOMAINS[0]).unwrap(),
            first: truth::window(late),
            last: truth::window(late),
            effect: Effect::AppearsAfter(1_200),
        }],
        seed: 7,
    };
    let exporter = setup.start().await;
    let missing = |samples: &Samples| {
        let labels = [("endpoint", "origin_ratio")];
        samples[&truth::series("jdcloud_cdn_exporter_windows_missing", &labels)]
    };
    for (clock, shown, gaps) in [
        ("2026-03-14T04:15:00Z", late - 300, 1.0),
        ("2026-03-14T04:20:00Z", late + 300, 1.0),
        ("2026-03-14T04:25:00Z", late + 600, 0.0),
    ] {
        exporter.clock.set(at(clock));
        exporter.polled_anew().await;
        let samples = exporter.scrape().await;
        let expected = exporter.truth_of(&DOMAINS[..1], shown);
        assert_eq!(
            truth::differences(&expected, &page::about_domains(&samples)),
            [""; 0],
            "{clock}"
        );
        assert!((missing(&samples) - gaps).abs() < f64::EPSILON, "{clock}");
    }
    exporter.end().await;
}

#[tokio::test]
async fn an_idle_window_is_0_and_has_no_ratio() {
    let end = at("2026-03-14T03:55:00Z").timestamp();
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.traffic.scripts = vec![Script {
        domain: Domain::parse(DOMAINS[0]).unwrap(),
        first: truth::window(end),
        last: truth::window(end),
        effect: Effect::Fixed {
            bandwidth_mbps: 0.0,
            origin_mbps: 0.0,
        },
    }];
    let exporter = setup.start().await;
    assert_eq!(
        truth::newest_settled(exporter.clock.now().timestamp(), SETTLE),
        end
    );
    let expected = exporter.truth(&DOMAINS[..1]);
    let of = [("domain", DOMAINS[0])];
    assert!(!expected.contains_key(&truth::series("jdcloud_cdn_origin_ratio", &of)));
    exporter.until_gauges(&expected).await;
    let shown = exporter.gauges().await[&truth::series("jdcloud_cdn_flow_bytes", &of)];
    assert!(shown.abs() < f64::EPSILON);
    exporter.end().await;
}
