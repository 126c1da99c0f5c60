//! A simulated provider, a folder with a configuration for it, the program, and what the provider's
//! truth adds up to.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::simulator::{
    OwnedDomain, SimulatedAccount, Simulator, SimulatorOptions, Traffic, Truth,
};
use tempfile::TempDir;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A provider with some domains, the last of them unknown to `origin_ratio`.
pub(crate) struct Site {
    pub(crate) provider: Simulator,
    pub(crate) domains: Vec<Domain>,
    pub(crate) folder: TempDir,
}

impl Site {
    pub(crate) async fn start(domains: usize, traffic: Traffic) -> Self {
        let domains: Vec<Domain> = (1..=domains)
            .map(|i| Domain::parse(&format!("d{i}.example.com")).unwrap())
            .collect();
        let owned = domains.iter().map(|name| OwnedDomain {
            name: name.clone(),
            live_only: *name == domains[domains.len() - 1],
        });
        let options = SimulatorOptions {
            accounts: vec![SimulatedAccount {
                username: "someone".into(),
                secret_key: "a made-up key".to_owned().into(),
                domains: owned.collect(),
            }],
            traffic,
            ..SimulatorOptions::new(Clock::System)
        };
        let site = Self {
            provider: Simulator::start(options).await.unwrap(),
            domains,
            folder: tempfile::tempdir().unwrap(),
        };
        site.configure(1000, 20);
        site
    }

    /// Writes the configuration: requests per second, and the batch size of `origin_ratio`.
    pub(crate) fn configure(&self, rate: u32, batch: usize) {
        let mut text = format!(
            "api:\n  base_url: {}\n  max_requests_per_second: {rate}\naccounts:\n  - username: someone\n    \
             secret_key: a made-up key\n    origin_ratio_batch: {batch}\n    domains:\n",
            self.provider.base_url()
        );
        let (live, others) = self.domains.split_last().unwrap();
        for domain in others {
            writeln!(text, "      - {domain}").unwrap();
        }
        writeln!(text, "      - name: {live}\n        endpoints: [bandwidth_flow]").unwrap();
        std::fs::write(self.path("exporter.yaml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program with these arguments.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_jdcloud-cdn-exporter"))
            .args(["backfill", "--config.file=exporter.yaml"])
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let program = self.begin(arguments);
        finish(program).await
    }

    pub(crate) fn requests(&self) -> u64 {
        Endpoint::ALL
            .map(|endpoint| self.provider.request_count(endpoint))
            .iter()
            .sum()
    }

    /// The true figures of a domain for every window that ends in `(start, end]`, in Unix seconds.
    pub(crate) fn truth(&self, domain: &Domain, start: i64, end: i64) -> Vec<(i64, Truth)> {
        (start / 300 + 1..=end / 300)
            .map(|place| {
                let end = place * 300;
                (end, self.provider.truth(domain, Window::ending_at(end).unwrap()))
            })
            .collect()
    }
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn finish(program: Child) -> Ran {
    let wait = tokio::task::spawn_blocking(move || program.wait_with_output());
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
    Ran {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// The samples of a written file: name and labels, value, timestamp, as they stand there.
pub(crate) fn samples(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        (
            words.next().unwrap(),
            words.next().unwrap(),
            words.next().unwrap(),
        )
    })
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
