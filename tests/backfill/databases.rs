//! What is written, in the databases that import it: their answers against the simulator's truth,
//! added up by brute force.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::{Traffic, Truth};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Site, until};

/// March 2025 in Beijing.
const MONTH: [&str; 2] = ["--start=2025-03-01", "--end=2025-04-01"];
const MONTH_START: i64 = 1_740_758_400;
const MONTH_END: i64 = MONTH_START + 31 * 86_400;

/// The name of a family, and the figure that it shows, in bytes, bytes per second and ratios, computed
/// from hundredths of the provider's units.
type Figure = (&'static str, fn(&Truth) -> Option<f64>);

const FIGURES: [Figure; 5] = [
    ("jdcloud_cdn_window_bandwidth_bytes_per_second", |truth| {
        Some(hundredths(truth.bandwidth_mbps) * 1_250.0)
    }),
    ("jdcloud_cdn_window_flow_bytes", |truth| {
        Some(hundredths(truth.flow_mb) * 10_000.0)
    }),
    ("jdcloud_cdn_window_origin_bandwidth_bytes_per_second", |truth| {
        Some(hundredths(truth.origin_mbps) * 1_250.0)
    }),
    ("jdcloud_cdn_window_edge_bandwidth_bytes_per_second", |truth| {
        Some(hundredths(truth.edge_mbps) * 1_250.0)
    }),
    ("jdcloud_cdn_window_origin_ratio", |truth| {
        Some(hundredths(truth.origin_ratio_percent?) / 10_000.0)
    }),
];

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_twenty_domains_in_prometheus_is_the_truth() {
    let (Some(promtool), Some(prometheus)) = (part("promtool"), part("prometheus")) else {
        return;
    };
    let site = Site::start(20, Traffic::new(7)).await;
    let ran = site.run(&[MONTH[0], MONTH[1], "--output=month.om"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    let blocks = site.path("data");
    let imported = Command::new(promtool)
        .args([
            "tsdb",
            "create-blocks-from",
            "--max-block-duration=744h",
            "openmetrics",
        ])
        .args([&site.path("month.om"), &blocks])
        .output()
        .unwrap();
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );

    std::fs::write(site.path("prometheus.yml"), "global: {}\n").unwrap();
    let address = free_address();
    let _prometheus = Running(
        Command::new(prometheus)
            .arg(format!("--config.file={}", site.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("Prometheus is ready", async || {
        get(address, "/-/ready").await.is_some()
    })
    .await;
    assert_truth(&site, address).await;
    assert_every_window(&site, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_twenty_domains_in_victoriametrics_is_the_truth() {
    let Some(victoria) = part("victoria-metrics") else {
        return;
    };
    let site = Site::start(20, Traffic::new(7)).await;
    let ran = site
        .run(&[MONTH[0], MONTH[1], "--format=text", "--output=month.prom"])
        .await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    let address = free_address();
    let _victoria = Running(
        Command::new(victoria)
            .arg(format!("-storageDataPath={}", site.path("data").display()))
            .arg(format!("-httpListenAddr={address}"))
            .arg("-retentionPeriod=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("VictoriaMetrics is ready", async || {
        get(address, "/health").await.is_some()
    })
    .await;
    let text = std::fs::read(site.path("month.prom")).unwrap();
    let imported = send(address, "POST", "/api/v1/import/prometheus", &text).await;
    assert!(imported.is_some(), "the import was refused");
    get(address, "/internal/force_flush").await.unwrap();
    let expected: usize = 8_928 * 20;
    until("what was imported can be asked for", async || {
        let found = query(address, &format!("sum(count_over_time({}[31d]))", FIGURES[0].0)).await;
        found
            .first()
            .is_some_and(|(_, count)| (count - to_f64(expected)).abs() < 0.5)
    })
    .await;
    assert_truth(&site, address).await;
}

/// Sums and counts of the month, for each domain and family.
async fn assert_truth(site: &Site, address: SocketAddr) {
    let live = site.domains.last().unwrap();
    for (name, figure) in FIGURES {
        let counts = query(address, &format!("count_over_time({name}[31d])")).await;
        let sums = query(address, &format!("sum_over_time({name}[31d])")).await;
        let found = |answers: &[(String, f64)], domain: &Domain| {
            let of_domain = answers.iter().find(|(found, _)| found == domain.as_str());
            of_domain.map(|(_, value)| *value)
        };
        for domain in &site.domains {
            if domain == live && (name.contains("_origin_") || name.contains("_edge_")) {
                assert_eq!(found(&counts, domain), None, "{name} of {domain}");
                continue;
            }
            let truth: Vec<f64> = site
                .truth(domain, MONTH_START, MONTH_END)
                .iter()
                .filter_map(|(_, truth)| figure(truth))
                .collect();
            let count = found(&counts, domain).unwrap();
            assert!(
                (count - to_f64(truth.len())).abs() < 0.5,
                "{name} of {domain}: {count}"
            );
            let (sum, expected) = (found(&sums, domain).unwrap(), truth.iter().sum::<f64>());
            assert!(
                (sum - expected).abs() <= expected.abs() * 1e-12,
                "{name} of {domain}: {sum} for {expected}"
            );
        }
    }
}

/// Each single window of one domain: its time and its value.
async fn assert_every_window(site: &Site, address: SocketAddr) {
    let domain = &site.domains[3];
    for (name, figure) in FIGURES {
        let body = ask(address, &format!("{name}{{domain=\"{domain}\"}}[31d]")).await;
        let found: Vec<(i64, f64)> = body["data"]["result"][0]["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
                (pair[0].as_i64().unwrap(), value)
            })
            .collect();
        let expected: Vec<(i64, f64)> = site
            .truth(domain, MONTH_START, MONTH_END)
            .iter()
            .filter_map(|(time, truth)| Some((*time, figure(truth)?)))
            .collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.0, expected.0, "{name}");
            assert!(
                (found.1 - expected.1).abs() <= expected.1 * 1e-15 * 4.0,
                "{name}: {found:?} for {expected:?}"
            );
        }
    }
}

/// The values of an instant query at the end of the month, by domain.
async fn query(address: SocketAddr, expression: &str) -> Vec<(String, f64)> {
    let body = ask(address, expression).await;
    let results = body["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| panic!("{expression}: {body}"));
    results
        .iter()
        .map(|result| {
            let domain = result["metric"]["domain"].as_str().unwrap_or_default();
            let value = result["value"][1].as_str().unwrap();
            (domain.to_owned(), value.parse().unwrap())
        })
        .collect()
}

async fn ask(address: SocketAddr, expression: &str) -> Value {
    let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let path = format!("/api/v1/query?time={MONTH_END}&query={encoded}");
    let body = get(address, &path)
        .await
        .unwrap_or_else(|| panic!("no answer to {expression}"));
    serde_json::from_str(&body).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> Option<String> {
    send(address, "GET", path, b"").await
}

/// The body of a reply of the 200s.
async fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    head.split(' ').nth(1)?.starts_with('2').then(|| body.to_owned())
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

#[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "small counts")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

/// A program of the `PATH`; without it the test is skipped, unless that is forbidden.
#[allow(
    clippy::disallowed_methods,
    reason = "which programs there are is the environment's to say"
)]
fn part(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var("JDCLOUD_REQUIRE_REAL_PARTS").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{name} is not installed, and JDCLOUD_REQUIRE_REAL_PARTS=1"
        );
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _ = self.0.wait();
    }
}
