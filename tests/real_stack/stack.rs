//! Provider, exporter and Prometheus in a row, once through each format.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::exposition::Format;
use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::{OwnedDomain, SimulatedAccount, Simulator, SimulatorOptions, Traffic};
use tempfile::TempDir;

use crate::forwarder::Forwarder;
use crate::http;
use crate::page;
use crate::parts;
use crate::process::Program;
use crate::prometheus::Prometheus;
use crate::truth::{self, BINARY, DECIMAL, Samples};

const SETTLE: i64 = 600;

struct Site {
    account: &'static str,
    units: &'static str,
    mega: f64,
    /// And whether it is a live domain.
    domains: &'static [(&'static str, bool)],
}

const SITES: [Site; 2] = [
    Site {
        account: "jcloud_00",
        units: "decimal",
        mega: DECIMAL,
        domains: &[
            ("www.a.com", false),
            ("img.a.com", false),
            ("play.live.com", true),
        ],
    },
    Site {
        account: "second",
        units: "binary",
        mega: BINARY,
        domains: &[("www.b.com", false), ("dl.b.com", false)],
    },
];

/// The provider, and the release binary that polls it by a configuration file.
struct Stack {
    simulator: Simulator,
    exporter: Program,
    address: SocketAddr,
    _directory: TempDir,
}

async fn start() -> Stack {
    let key = |site: &Site| format!("key-of-{}", site.account);
    let simulator = Simulator::start(SimulatorOptions {
        accounts: SITES
            .iter()
            .map(|site| SimulatedAccount {
                username: site.account.to_owned(),
                secret_key: key(site).into(),
                domains: site
                    .domains
                    .iter()
                    .map(|(name, live_only)| OwnedDomain {
                        name: Domain::parse(name).unwrap(),
                        live_only: *live_only,
                    })
                    .collect(),
            })
            .collect(),
        traffic: Traffic::prompt(11),
        ..SimulatorOptions::new(Clock::System)
    })
    .await
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = format!(
        "api:\n  base_url: {}\npoll:\n  interval: 1s\naccounts:\n",
        simulator.base_url()
    );
    for site in &SITES {
        let file = directory.path().join(site.account);
        std::fs::write(&file, key(site)).unwrap();
        writeln!(
            config,
            "  - username: {}\n    secret_key_file: {}\n    units: {}\n    domains:",
            site.account,
            file.display(),
            site.units
        )
        .unwrap();
        for (name, live_only) in site.domains {
            writeln!(config, "      - name: {name}").unwrap();
            if *live_only {
                writeln!(config, "        endpoints: [bandwidth_flow]").unwrap();
            }
        }
    }
    let file = directory.path().join("exporter.yaml");
    std::fs::write(&file, config).unwrap();
    let binary = parts::switch("JDCLOUD_EXPORTER_BINARY")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_jdcloud-cdn-exporter").to_owned());
    let mut exporter = Program::start(Command::new(&binary).env_clear().args([
        format!("--config.file={}", file.display()),
        "--web.listen-address=127.0.0.1:0".to_owned(),
    ]))
    .unwrap_or_else(|error| panic!("{binary}: {error}"));
    let address = exporter
        .until("the address", |said| {
            said.split_once("address=")?
                .1
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .await;
    Stack {
        simulator,
        exporter,
        address,
        _directory: directory,
    }
}

/// Every gauge of every domain for the window that ends at `end`.
fn expected(simulator: &Simulator, end: i64) -> Samples {
    let mut samples = Samples::new();
    for site in &SITES {
        for (domain, live_only) in site.domains {
            samples.extend(truth::bandwidth_flow(simulator, domain, end, site.mega));
            samples.extend(truth::domain_info(domain, site.account));
            if !live_only {
                samples.extend(truth::origin_ratio(simulator, domain, end, site.mega));
            }
        }
    }
    samples
}

/// Now, in whole Unix seconds.
fn now() -> i64 {
    Clock::System.now().timestamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_has_the_providers_numbers_through_both_formats() {
    if !Prometheus::is_installed() {
        return parts::left_out("prometheus");
    }
    let mut stack = start().await;
    let open = Forwarder::start(stack.address, Format::OpenMetrics).await;
    let text = Forwarder::start(stack.address, Format::Text).await;
    let jobs = [("openmetrics", open.address), ("text", text.address)];
    let mut prometheus = Prometheus::start(&jobs).await;
    for (job, _) in jobs {
        // Every domain has been scraped with a value, and is at an instant that is known.
        let all = format!(
            "{{__name__=~\"jdcloud_cdn_[a-z_]+\", __name__!~\"jdcloud_cdn_exporter_.*\", job=\"{job}\"}}"
        );
        let complete = expected(&stack.simulator, 0).len();
        let (shown, time) = prometheus
            .until(&all, now, |samples| {
                samples.len() == complete && samples.values().all(|value| *value >= 0.0) && ups(samples) == 9
            })
            .await;
        // One instant is one scrape, and one scrape is one snapshot: all of one window.
        let end = shown_window(&shown);
        // The scrape that is shown may be some seconds old.
        let newest = [time, time - 30].map(|scraped| truth::newest_settled(scraped, SETTLE));
        assert!(newest.contains(&end), "{end} is shown at {time}");
        let differences = truth::differences(&expected(&stack.simulator, end), &shown);
        assert_eq!(differences, [""; 0], "job {job}");
        let (up, _) = prometheus
            .until(&format!("up{{job=\"{job}\"}}"), now, |samples| samples.len() == 1)
            .await;
        assert_eq!(up, Samples::from([("up{}".to_owned(), 1.0)]));
        let lines = page::samples(&page(&stack, "text/plain").await).len();
        let (scraped, _) = prometheus
            .until(
                &format!("scrape_samples_scraped{{job=\"{job}\"}}"),
                now,
                |samples| samples.len() == 1,
            )
            .await;
        let scraped: usize = format!("{}", scraped["scrape_samples_scraped{}"])
            .parse()
            .unwrap();
        assert_eq!(scraped, lines, "job {job}");
    }
    let log = prometheus.program.stderr();
    for word in ["level=error", "level=warn", "err="] {
        let bad: Vec<&str> = log.lines().filter(|line| line.contains(word)).collect();
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
    assert!(log.contains("Listening on"), "{log}");
    let complaints = stack.exporter.stderr();
    let bad = complaints
        .lines()
        .find(|line| line.contains("level=warn") || line.contains("level=error"));
    assert_eq!(bad, None);
    stack.exporter.signal("TERM");
    assert_eq!(stack.exporter.ended().await.0.code(), Some(0));
}

fn ups(samples: &Samples) -> usize {
    let up = samples
        .iter()
        .filter(|(series, _)| series.starts_with("jdcloud_cdn_up{"));
    up.filter(|(_, value)| **value > 0.0).count()
}

/// The page as it is served by a working exporter, not one made up for a golden file.
#[tokio::test]
async fn the_live_page_satisfies_both_linters() {
    let stack = start().await;
    let began = tokio::time::Instant::now();
    let text = loop {
        let text = page(&stack, "text/plain").await;
        if ups(&page::samples(&text)) == 9 {
            break text;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let shown = page::about_domains(&page::samples(&text));
    let differences = truth::differences(&expected(&stack.simulator, shown_window(&shown)), &shown);
    assert_eq!(differences, [""; 0]);
    parts::promtool_is_silent(&text);
    parts::reference_parser_accepts(&page(&stack, "application/openmetrics-text; version=1.0.0").await);
}

/// The exporter's page in the format asked for.
async fn page(stack: &Stack, accept: &str) -> String {
    let reply = http::request(stack.address, "GET", "/metrics", &[("Accept", accept)])
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with(accept), "{kind}");
    reply.text().to_owned()
}

/// The end of the window that one of the domains shows.
fn shown_window(samples: &Samples) -> i64 {
    let at = [("domain", "www.a.com"), ("endpoint", "bandwidth_flow")];
    let at = samples[&truth::series("jdcloud_cdn_sample_timestamp_seconds", &at)];
    format!("{at}").parse().unwrap()
}
