//! A simulated provider in this process and real exporters that share its domains out, each a process of
//! its own; all of them on one clock, which stands still until the test moves it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, TimeDelta};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::plan::owner;
use jdcloud_cdn_exporter::simulator::{OwnedDomain, SimulatedAccount, Simulator, SimulatorOptions, Traffic};
use tempfile::TempDir;

use crate::figures::{self, Figure, WINDOW};
use crate::parts;
use crate::process::Program;
use crate::server::free_address;

/// `poll.window`, in seconds.
pub(crate) const HORIZON: i64 = 3_600;
/// `poll.settle`, in seconds.
pub(crate) const SETTLE: i64 = 600;

const USERNAME: &str = "someone";
const SECRET_KEY: &str = "a made-up key";

/// How many domains there are; the last is known to `bandwidth_flow` only.
const DOMAINS: usize = 30;

/// Where Debian's package `libfaketime` puts the library that gives a program another time.
const LIBRARIES: &str = "/usr/lib";

/// The library, if it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let found = std::fs::read_dir(LIBRARIES)
        .ok()?
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    if found.is_none() {
        parts::left_out("libfaketime");
    }
    found
}

/// An exporter and where it serves, whether it runs or not.
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    running: Option<Program>,
}

/// The provider and the exporters.
pub(crate) struct Fleet {
    pub(crate) provider: Simulator,
    pub(crate) domains: Vec<Domain>,
    pub(crate) exporters: Vec<Exporter>,
    clock: ManualClock,
    faketime: PathBuf,
    folder: TempDir,
}

impl Fleet {
    /// The provider runs, at this Unix time; there are places for so many exporters, none of which runs.
    pub(crate) async fn start(now: i64, places: usize, faketime: PathBuf) -> Self {
        let clock = ManualClock::new(DateTime::from_timestamp(now, 0).unwrap());
        let domains: Vec<Domain> = (0..DOMAINS)
            .map(|number| Domain::parse(&format!("d{number}.example.com")).unwrap())
            .collect();
        let owned = |(place, name): (usize, &Domain)| OwnedDomain {
            name: name.clone(),
            live_only: place + 1 == DOMAINS,
        };
        let provider = Simulator::start(SimulatorOptions {
            accounts: vec![SimulatedAccount {
                username: USERNAME.to_owned(),
                secret_key: SECRET_KEY.into(),
                domains: domains.iter().enumerate().map(owned).collect(),
            }],
            traffic: Traffic::prompt(7),
            ..SimulatorOptions::new(Clock::Manual(clock.clone()))
        })
        .await
        .unwrap();
        let exporters = (0..places).map(|_| Exporter {
            address: free_address(),
            running: None,
        });
        let fleet = Self {
            provider,
            domains,
            exporters: exporters.collect(),
            clock,
            faketime,
            folder: tempfile::tempdir().unwrap(),
        };
        fleet.tell_the_time();
        fleet
    }

    /// Starts the exporter at a place as shard `ordinal` of `count`. All of them read one configuration,
    /// which lists the first `count` places.
    pub(crate) async fn run(&mut self, place: usize, ordinal: u32, count: u32) {
        let config = self.write_config(count);
        let exporter = &mut self.exporters[place];
        assert!(exporter.running.is_none(), "{place} runs already");
        let mut command = Command::new(env!("CARGO_BIN_EXE_jdcloud-cdn-exporter"));
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("LD_PRELOAD", &self.faketime)
            .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("now"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={}", exporter.address))
            .arg(format!("--shard={ordinal}/{count}"));
        let mut program = Program::start(&mut command).unwrap();
        let listening = |said: &str| said.contains("msg=listening").then_some(());
        program.until("it listens", listening).await;
        exporter.running = Some(program);
    }

    /// Ends it as a machine's failure does: at once, with nothing written and nobody told.
    pub(crate) async fn kill(&mut self, place: usize) {
        let mut program = self.exporters[place].running.take().expect("it runs");
        program.signal("KILL");
        let (status, _) = program.ended().await;
        assert!(!status.success(), "{status}");
        sweep(program.id());
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(&mut self, place: usize) {
        let mut program = self.exporters[place].running.take().expect("it runs");
        program.signal("TERM");
        let (status, _) = program.ended().await;
        assert!(status.success(), "{status}: {}", program.said());
        sweep(program.id());
    }

    /// What the exporters that run have logged.
    pub(crate) fn said(&self) -> String {
        let running = self.exporters.iter().filter_map(|one| one.running.as_ref());
        running.map(Program::said).collect()
    }

    fn write_config(&self, count: u32) -> PathBuf {
        let addresses = self.exporters.iter().map(|one| one.address.to_string());
        let shards: Vec<String> = addresses.take(usize::try_from(count).unwrap()).collect();
        let mut text = format!(
            "api: {{base_url: '{}', max_requests_per_second: 1000}}\npoll: {{interval: 500ms, window: {HORIZON}s, settle: \
             {SETTLE}s}}\nshards: [{}]\naccounts:\n  - username: {USERNAME}\n    secret_key: {SECRET_KEY}\n    \
             bandwidth_flow_batch: 20\n    domains:\n",
            self.provider.base_url(),
            shards.join(", ")
        );
        let (live, others) = self.domains.split_last().unwrap();
        for domain in others {
            writeln!(text, "      - {domain}").unwrap();
        }
        writeln!(text, "      - {{name: {live}, endpoints: [bandwidth_flow]}}").unwrap();
        let file = self.folder.path().join(format!("of-{count}.yaml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The time at the provider and in every exporter.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now() + TimeDelta::seconds(seconds));
        self.tell_the_time();
    }

    /// The exporters read the time from a file, which they never see half written.
    fn tell_the_time(&self) {
        let (new, file) = (self.folder.path().join("next"), self.folder.path().join("now"));
        std::fs::write(&new, self.clock.now().format("%Y-%m-%d %H:%M:%S\n").to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// The end of the newest window that is settled.
    pub(crate) fn settled(&self) -> i64 {
        (self.now() - SETTLE).div_euclid(WINDOW) * WINDOW
    }

    /// Which of `count` shards owns a domain.
    pub(crate) fn owner(domain: &Domain, count: u32) -> usize {
        usize::try_from(owner(domain, count)).unwrap()
    }

    /// What a family must show of a domain for the windows that end in `(start, end]`.
    pub(crate) fn truth(&self, figure: Figure, domain: &Domain, start: i64, end: i64) -> Vec<(i64, f64)> {
        if figures::is_of_origin(figure) && Some(domain) == self.domains.last() {
            return Vec::new();
        }
        figures::truth(&self.provider, figure, domain, start, end)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for program in self.exporters.iter_mut().filter_map(|one| one.running.take()) {
            let process = program.id();
            drop(program);
            sweep(process);
        }
    }
}

/// A program that is killed leaves two files of the library behind.
fn sweep(process: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        // They are not there after an orderly end.
        let _gone = std::fs::remove_file(Path::new("/dev/shm").join(format!("{name}{process}")));
    }
}
