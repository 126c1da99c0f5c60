//! Runs the real binary on a configuration file of its own, and holds every word of it against the
//! secrets.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::{OwnedDomain, SimulatedAccount, Simulator, SimulatorOptions};
use secrecy::ExposeSecret as _;

/// No run of the binary takes longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const USERNAME: &str = "jcloud_00";
pub(crate) const SECRET_KEY: &str = "made-up-key-of-these-tests";

/// How one run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// The lines of one account and endpoint.
    #[track_caller]
    pub(crate) fn block(&self, endpoint: &str) -> &str {
        let start = self
            .out
            .find(&format!("account {USERNAME}, {endpoint}: "))
            .unwrap_or_else(|| panic!("no block of {endpoint} in {self:?}"));
        self.out[start..].split("\n\n").next().unwrap()
    }
}

/// Runs the binary with nothing in its environment but what is named here.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jdcloud-cdn-exporter"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What the configuration file says; the rest is default.
pub(crate) struct Setup<'a> {
    pub(crate) base_url: String,
    /// Lines under `api:`.
    pub(crate) api: &'a [&'a str],
    pub(crate) username: &'a str,
    pub(crate) secret_key: &'a str,
    pub(crate) domains: Vec<&'a str>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

impl Setup<'_> {
    pub(crate) fn of(base_url: String) -> Self {
        Self {
            base_url,
            api: &[],
            username: USERNAME,
            secret_key: SECRET_KEY,
            domains: vec!["www.a.com", "www.b.com", "www.c.com"],
            environment: &[],
        }
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("api:\n  base_url: {}\n", self.base_url);
        for line in self.api {
            writeln!(text, "  {line}").unwrap();
        }
        write!(
            text,
            "accounts:\n  - username: {}\n    secret_key: {}\n    domains: [{}]\n",
            self.username,
            self.secret_key,
            self.domains.join(", ")
        )
        .unwrap();
        text
    }

    /// Writes the file and runs `check --live` on it.
    pub(crate) async fn check(&self) -> Run {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exporter.yaml");
        std::fs::write(&path, self.text()).unwrap();
        let run = check_file(&path, &["--live"], self.environment).await;
        assert!(
            !format!("{run:?}").contains(self.secret_key),
            "the key is shown: {run:?}"
        );
        run
    }
}

/// Runs `check` on a file.
pub(crate) async fn check_file(path: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Run {
    let arguments: Vec<&str> = ["check", "--config.file", path.to_str().unwrap()]
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    run(&arguments, environment).await
}

/// The simulator's options: one account that owns the domains of [`Setup::of`] and one that only
/// `bandwidth_flow` knows.
pub(crate) fn options(clock: Clock) -> SimulatorOptions {
    let owned = |name: &str, live_only| OwnedDomain {
        name: domain(name),
        live_only,
    };
    SimulatorOptions {
        accounts: vec![SimulatedAccount {
            username: USERNAME.to_owned(),
            secret_key: SECRET_KEY.into(),
            domains: vec![
                owned("www.a.com", false),
                owned("www.b.com", false),
                owned("www.c.com", false),
                owned("live.a.com", true),
            ],
        }],
        ..SimulatorOptions::new(clock)
    }
}

pub(crate) async fn simulator() -> Simulator {
    Simulator::start(options(Clock::System)).await.unwrap()
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// No signature that the simulator has seen is shown.
#[track_caller]
pub(crate) fn assert_no_signature(simulator: &Simulator, run: &Run) {
    let shown = format!("{run:?}");
    for request in simulator.requests() {
        assert!(!shown.contains(request.signature.expose_secret()), "{shown}");
    }
}
