//! The load test: 200 scrapers at once beside 500 idle and 100 dripping connections.
//! `JDCLOUD_LOAD_SECONDS` makes it longer.
#![cfg(test)]

#[path = "../faults/rig.rs"]
mod rig;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::simulator::{Simulator, SimulatorOptions, Traffic};
use jdcloud_cdn_exporter::web::Limits;
use rig::{Exporter, Form, PATIENCE, SECRET_KEY, USERNAME, account, ask};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const DOMAINS: usize = 200;
/// How often each scraper comes, unless the answer takes longer.
const EVERY: Duration = Duration::from_secs(1);
/// What the process may take for all of them: both ends of every connection, and the pages.
const MEMORY_KIB: u64 = 300 * 1_024;

/// Of whom there are how many.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    scrapers: usize,
    idle: usize,
    dripping: usize,
}

impl Crowd {
    /// The whole crowd, or a part of it that leaves room under the limit of open files: every
    /// connection has both its ends in this process.
    fn that_fits() -> Self {
        let whole = Self {
            scrapers: 200,
            idle: 500,
            dripping: 100,
        };
        let limit = Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap();
        let limit: usize = String::from_utf8_lossy(&limit.stdout)
            .trim()
            .parse()
            .unwrap_or(usize::MAX);
        let needed = 2 * (whole.scrapers + whole.idle + whole.dripping) + 200;
        if limit >= needed {
            return whole;
        }
        println!("{limit} open files are allowed and {needed} are needed: a quarter of the crowd comes");
        Self {
            scrapers: 50,
            idle: 125,
            dripping: 25,
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's own setting, not the exporter's"
)]
fn seconds() -> Option<u64> {
    let text = std::env::var("JDCLOUD_LOAD_SECONDS").ok()?;
    Some(text.parse().expect("JDCLOUD_LOAD_SECONDS is a whole number"))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scrape_is_answered() {
    let crowd = Crowd::that_fits();
    let domains: Vec<Domain> = (0..DOMAINS)
        .map(|i| rig::domain(&format!("d{i}.example.com")))
        .collect();
    let simulator = Simulator::start(SimulatorOptions {
        accounts: vec![account(&domains)],
        traffic: Traffic::prompt(1),
        log_limit: 0,
        ..SimulatorOptions::new(Clock::System)
    })
    .await
    .unwrap();
    let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
    let config = format!(
        "api:\n  base_url: {}\n  max_requests_per_second: 1000\npoll:\n  interval: 5s\naccounts:\n  - username: {USERNAME}\n    \
         secret_key: {SECRET_KEY}\n    bandwidth_flow_batch: 20\n    domains: [{}]\n",
        simulator.base_url(),
        names.join(", ")
    );
    let exporter = Exporter::start(&config, Clock::System, Limits::default());
    let address = exporter.address;
    let give_up = Instant::now() + PATIENCE;
    while ask(address, "GET", "/-/ready", "").await.unwrap().0 != 200 {
        assert!(Instant::now() < give_up, "the first round does not end");
        sleep(Duration::from_millis(50)).await;
    }
    let before = resident_kib();

    let length = seconds();
    let until = Instant::now() + Duration::from_secs(length.unwrap_or(5));
    let mut neighbours = JoinSet::new();
    for _ in 0..crowd.idle {
        let stream = TcpStream::connect(address).await.unwrap();
        neighbours.spawn(async move {
            tokio::time::sleep_until(until).await;
            drop(stream);
        });
    }
    for _ in 0..crowd.dripping {
        neighbours.spawn(drip(address, until));
    }
    let mut scrapers = JoinSet::new();
    for number in 0..crowd.scrapers {
        scrapers.spawn(scrape(address, number, crowd.scrapers, until));
    }
    let health = tokio::runtime::Handle::current().spawn(health(address, until));
    let mut took = Vec::new();
    while let Some(ended) = scrapers.join_next().await {
        took.extend(ended.unwrap().unwrap());
    }
    let slowest_health = health.await.unwrap().unwrap();
    let resident = resident_kib();
    took.sort_unstable();
    let at = |per_cent: usize| took[(took.len() - 1) * per_cent / 100];
    println!(
        "{crowd:?}, {} s: {} scrapes, every one answered; p50 {:?}, p99 {:?}, most {:?}; slowest health check {slowest_health:?}; \
         {} MiB resident before, {} MiB at the end",
        length.unwrap_or(5),
        took.len(),
        at(50),
        at(99),
        at(100),
        before / 1_024,
        resident / 1_024
    );
    assert!(took.len() >= crowd.scrapers);
    assert!(resident < MEMORY_KIB, "{resident} KiB resident");
    if length.is_some() {
        // Prometheus gives a scrape 10 s. The short form runs beside other tests, on a machine that
        // may be busy, and asks only that every scrape is answered.
        assert!(at(99) < Duration::from_secs(5), "p99 is {:?}", at(99));
        assert!(
            slowest_health < Duration::from_secs(5),
            "a health check took {slowest_health:?}"
        );
    }
    neighbours.shutdown().await;
    exporter.stop().await.unwrap();
    simulator.stop().await;
}

/// Scrapes until the end; how long each took.
async fn scrape(
    address: SocketAddr,
    number: usize,
    of: usize,
    until: Instant,
) -> Result<Vec<Duration>, String> {
    let mut took = Vec::new();
    // Half of them come all at once, the others evenly over the time between two scrapes.
    if number.is_multiple_of(2) {
        sleep(EVERY * u32::try_from(number).unwrap() / u32::try_from(of).unwrap()).await;
    }
    while Instant::now() < until {
        let started = Instant::now();
        let form = Form {
            open_metrics: number.is_multiple_of(3),
            gzip: !number.is_multiple_of(4),
        };
        if number.is_multiple_of(20) {
            let scrape = rig::scrape(address, form).await?;
            let last = rig::domain(&format!("d{}.example.com", DOMAINS - 1));
            if scrape.up(&last, Endpoint::OriginRatio) != Some(true) {
                return Err("a scrape does not show what there is".to_owned());
            }
        } else {
            // A whole reply of the length that it tells; to read all of them would take more of the
            // processor than to serve them.
            let (status, _) = rig::ask(address, "GET", "/metrics", form.headers())
                .await
                .map_err(|error| format!("a scrape failed: {error}"))?;
            if status != 200 {
                return Err(format!("a scrape got status {status}"));
            }
        }
        took.push(started.elapsed());
        tokio::time::sleep_until(started + EVERY).await;
    }
    Ok(took)
}

/// Sends a byte of a request a second, and begins anew when it is thrown out.
async fn drip(address: SocketAddr, until: Instant) {
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        for byte in b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if stream.write_all(std::slice::from_ref(byte)).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// The health endpoints answer throughout; the slowest answer.
async fn health(address: SocketAddr, until: Instant) -> Result<Duration, String> {
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        for path in ["/-/healthy", "/-/ready"] {
            let started = Instant::now();
            let (status, _) = ask(address, "GET", path, "")
                .await
                .map_err(|error| format!("{path}: {error}"))?;
            if status != 200 {
                return Err(format!("{path} got status {status}"));
            }
            slowest = slowest.max(started.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(slowest)
}
