//! A Prometheus server with its data in a folder of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::http;
use crate::process::Program;
use crate::truth::{self, Samples};

/// Nothing in this server takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// A running server; dropping it kills it.
pub(crate) struct Prometheus {
    pub(crate) program: Program,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// Whether it is installed.
    pub(crate) fn is_installed() -> bool {
        Command::new("prometheus")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// Starts it on a free port with a job for each target, scraped every second.
    pub(crate) async fn start(jobs: &[(&str, SocketAddr)]) -> Self {
        let mut scrape_configs = String::new();
        for (job, target) in jobs {
            writeln!(
                scrape_configs,
                "  - job_name: {job}\n    static_configs:\n      - targets: ['{target}']"
            )
            .unwrap();
        }
        Self::start_with(&scrape_configs).await
    }

    /// The same with jobs that are written out.
    pub(crate) async fn start_with(scrape_configs: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{scrape_configs}"
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut program = Program::start(Command::new("prometheus").args([
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ]))
        .unwrap();
        let address = program
            .until("the address", |said| {
                let line = said.lines().find(|line| line.contains("Listening on"))?;
                line.split_once("address=")?
                    .1
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .await;
        // Until then it answers 503.
        program
            .until("readiness", |said| {
                said.contains("Server is ready to receive web requests")
                    .then_some(())
            })
            .await;
        Self {
            program,
            address,
            _directory: directory,
        }
    }

    /// The samples that a query has at an instant, in Unix seconds, without `job` and `instance`.
    pub(crate) async fn query(&self, query: &str, time: i64) -> Samples {
        let encoded: String = query
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        // HTTP/1.0 has no chunks and ends with the connection.
        let request = format!("GET /api/v1/query?query={encoded}&time={time} HTTP/1.0\r\n\r\n");
        let reply = http::exchange(self.address, &request).await.unwrap();
        let reply: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply["status"], "success", "{query}: {reply}");
        let results = reply["data"]["result"].as_array().unwrap();
        results
            .iter()
            .map(|result| {
                let labels: Vec<(&str, &str)> = result["metric"]
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(label, _)| !["job", "instance", "__name__"].contains(&label.as_str()))
                    .map(|(label, value)| (label.as_str(), value.as_str().unwrap()))
                    .collect();
                let name = result["metric"]["__name__"].as_str().unwrap_or_default();
                let value = result["value"][1].as_str().unwrap().parse().unwrap();
                (truth::series(name, &labels), value)
            })
            .collect()
    }

    /// Asks for the present again and again until the answer is as wanted; gives it and its time.
    pub(crate) async fn until(
        &mut self,
        query: &str,
        now: impl Fn() -> i64,
        wanted: impl Fn(&Samples) -> bool,
    ) -> (Samples, i64) {
        let began = Instant::now();
        loop {
            let time = now();
            let samples = self.query(query, time).await;
            if wanted(&samples) {
                return (samples, time);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited for {query}: {samples:#?}; {}",
                self.program.said()
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}
