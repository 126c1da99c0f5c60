//! The command line: flags with dots, as Prometheus' own programs have them.

mod effect;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::backfill::Moment;
use crate::model::{Domain, DomainError};
use crate::plan::{MAX_SHARDS, Shard};
use crate::web::{ListenAddress, TelemetryPath};
use crate::{build_info, exposition};

pub use effect::flags_of;

/// What the process says by its exit code, for the help and the manual.
pub(crate) const EXIT_STATUS: [(&str, &str); 3] = [
    (
        "0",
        "all is well: it ended as it was told to, or everything checked is good",
    ),
    (
        "1",
        "it could not run or go on, a live call of check failed or showed a fault, or healthcheck got no good answer",
    ),
    (
        "2",
        "the command line, the configuration or the web configuration cannot be used",
    ),
];

/// Prometheus exporter for JD Cloud CDN: bandwidth, flow and origin ratio by domain.
#[derive(Clone, Debug, Parser)]
#[command(name = "jdcloud-cdn-exporter", version = build_info::SUMMARY, after_help = exit_status())]
pub struct Cli {
    /// The configuration file (YAML).
    #[arg(
        long = "config.file",
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        default_value = "config/exporter.yaml",
        global = true
    )]
    pub config_file: PathBuf,

    /// Which of several exporters this is, for example 2/4: it polls the domains that it owns.
    ///
    /// Written as ordinal/count, where ordinals count from 0; for the ordinal the name of a pod of a
    /// Kubernetes `StatefulSet` can stand, as in `--shard=$(POD_NAME)/4`.
    #[arg(long, value_name = "I/N", default_value = "0/1", global = true)]
    pub shard: Shard,

    /// Check the configuration, print a summary or every problem, and exit with 0 or 2.
    #[arg(long = "config.check")]
    pub config_check: bool,

    /// Print a commented sample of the configuration file with every key, and exit.
    #[arg(long = "config.example")]
    pub config_example: bool,

    /// How it is served.
    #[command(flatten)]
    pub web: Web,

    /// What it writes to standard error.
    #[command(flatten)]
    pub log: Log,

    /// What to run instead of the exporter.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to run instead of the exporter.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the exporter against a simulated provider on this machine; no account is needed.
    Demo,
    /// Check the configuration and print what would run; with --live, ask the provider as well.
    #[command(after_help = exit_status())]
    Check(Check),
    /// Ask the exporter on this machine whether it serves, for a container's health check.
    ///
    /// Asked is /-/healthy at every --web.listen-address, over HTTP or TLS, whichever is spoken there.
    /// A server that asks for a password or a client certificate serves. Exits with 0 or 1.
    Healthcheck,
    /// Print what the configuration costs: calls, series, samples, memory, and which shard owns what.
    ///
    /// Nobody is asked. Exits with 0 if the calls fit the rate limits, with 2 if they do not; the numbers
    /// are printed all the same.
    Plan(Plan),
    /// Read a past range from the provider and write it for import into a time-series database.
    ///
    /// Written are the 5-minute windows that end after --start and at or before --end, each under the
    /// time of its end: from midnight to midnight exactly the 288 of the day. An interrupted run with
    /// --output continues when the same command is run again. Exits with 0 if every window was written,
    /// with 1 if any is missing or it was interrupted, with 2 if the arguments or the configuration
    /// cannot be used.
    Backfill(Backfill),
    /// Print a script that completes this program's arguments, for the shell to read.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page in the format of man(1).
    #[command(hide = true)]
    Man,
}

/// How much `check` checks.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Make one call for each account and endpoint, and say what is wrong and what to do. A domain
    /// that the provider refuses, or a refused signature, takes a few calls more.
    #[arg(long)]
    pub live: bool,
}

/// Whose costs `plan` prints.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Share the domains out to so many exporters; without it to as many as `shards` lists in the
    /// configuration, or to one. For one of them: --shard.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS))
    )]
    pub shards: Option<u32>,

    /// Which domain belongs to which shard as well.
    #[arg(long)]
    pub domains: bool,
}

/// A shell that completions are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

/// The exit codes as a section of the help.
fn exit_status() -> String {
    let mut text = "Exit status:".to_owned();
    for (code, meaning) in EXIT_STATUS {
        text = format!("{text}\n  {code}  {meaning}");
    }
    text
}

/// What to read, and where to write it.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// The windows end after this: 2026-11-01T00:00, in the provider's zone unless it
    /// carries an offset (Z, +08:00); 2026-11-01 is the start of that day.
    #[arg(long, value_name = "TIME")]
    pub start: Moment,

    /// The windows end at or before this, written like --start; no later than the newest settled window.
    #[arg(long, value_name = "TIME")]
    pub end: Moment,

    /// Only this one of the configured domains. May be repeated.
    #[arg(long = "domain", value_name = "NAME", value_parser = domain)]
    pub domains: Vec<Domain>,

    /// The file to write; it appears when it is whole. Without it, or with `-`: standard output, and
    /// an interrupted run starts anew.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// How to write it.
    #[arg(
        id = "backfill_format",
        long = "format",
        value_name = "FORMAT",
        default_value = "openmetrics"
    )]
    pub format: BackfillFormat,
}

/// How a backfill is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackfillFormat {
    /// For `promtool tsdb create-blocks-from openmetrics`: timestamps in seconds.
    Openmetrics,
    /// For VictoriaMetrics' `/api/v1/import/prometheus`: timestamps in milliseconds.
    Text,
}

impl From<BackfillFormat> for exposition::Format {
    fn from(format: BackfillFormat) -> Self {
        match format {
            BackfillFormat::Openmetrics => Self::OpenMetrics,
            BackfillFormat::Text => Self::Text,
        }
    }
}

fn domain(text: &str) -> Result<Domain, DomainError> {
    Domain::parse(text)
}

/// How the metrics are served.
#[derive(Args, Clone, Debug)]
pub struct Web {
    /// Where to listen: `:PORT` for every address, `host:port` or `[v6]:port`. May be repeated.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":10530",
        global = true
    )]
    pub listen_addresses: Vec<ListenAddress>,

    /// Take the listening sockets from systemd instead of `--web.listen-address`.
    #[arg(long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,

    /// The path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        global = true
    )]
    pub telemetry_path: TelemetryPath,

    /// A web configuration file: TLS, users and headers, as Prometheus' exporter-toolkit has it.
    #[arg(
        id = "web_config_file",
        long = "web.config.file",
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        global = true
    )]
    pub config_file: Option<PathBuf>,
}

/// What is logged and how.
#[derive(Args, Clone, Copy, Debug)]
pub struct Log {
    /// The least grave messages that are logged.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        global = true
    )]
    pub level: LogLevel,

    /// The format of the log on standard error.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        global = true
    )]
    pub format: LogFormat,
}

/// How grave a message must be to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Each request and decision.
    Debug,
    /// What an operator wants to know in good times.
    Info,
    /// What may need a look.
    Warn,
    /// What needs one.
    Error,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_read_from(["jdcloud-cdn-exporter"].iter().chain(arguments))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_arguments_it_runs_on_the_defaults() {
        let cli = parse(&[]).unwrap();
        assert_eq!(cli.config_file, PathBuf::from("config/exporter.yaml"));
        assert!(!cli.config_check);
        assert_eq!(cli.shard, Shard::WHOLE);
        assert_eq!(cli.web.listen_addresses, [":10530".parse().unwrap()]);
        assert_eq!(cli.web.telemetry_path.as_str(), "/metrics");
        assert_eq!(cli.web.config_file, None);
        assert_eq!(
            (cli.log.level, cli.log.format),
            (LogLevel::Info, LogFormat::Logfmt)
        );
        assert_eq!(cli.command, None);
    }

    #[test]
    fn flags_are_taken_before_and_after_the_subcommand() {
        let flags = [
            "--web.listen-address=127.0.0.1:0",
            "--web.listen-address",
            "[::1]:9",
            "--web.telemetry-path=/m",
            "--web.config.file=web.yml",
            "--log.level=debug",
            "--log.format=json",
            "--shard=exporter-2/4",
        ];
        let before: Vec<&str> = flags.iter().copied().chain(["demo"]).collect();
        let after: Vec<&str> = ["demo"].into_iter().chain(flags).collect();
        for arguments in [before, after] {
            let cli = parse(&arguments).unwrap();
            assert_eq!((cli.shard.ordinal(), cli.shard.count()), (2, 4));
            let addresses: Vec<String> = cli.web.listen_addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, ["127.0.0.1:0", "[::1]:9"]);
            assert_eq!(cli.web.telemetry_path.as_str(), "/m");
            assert_eq!(cli.web.config_file, Some("web.yml".into()));
            assert_eq!(
                (cli.log.level, cli.log.format),
                (LogLevel::Debug, LogFormat::Json)
            );
            assert_eq!(cli.command, Some(Command::Demo));
        }
    }

    #[test]
    fn check_asks_the_provider_only_when_told_to() {
        for (arguments, live) in [(&["check"][..], false), (&["check", "--live"], true)] {
            assert_eq!(
                parse(arguments).unwrap().command,
                Some(Command::Check(Check { live }))
            );
        }
        assert_eq!(parse(&["--live"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_plan_is_of_one_shard_or_of_all() {
        let Some(Command::Plan(plan)) = parse(&["plan", "--shards=4", "--domains"]).unwrap().command else {
            panic!("a plan")
        };
        assert_eq!((plan.shards, plan.domains), (Some(4), true));
        assert!(parse(&["plan", "--shard=1/4"]).is_ok());
        for wrong in [
            &["plan", "--shards=0"][..],
            &["plan", "--shards=1001"],
            &["plan", "--shards=x"],
            &["--shards=4"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn the_help_says_what_the_exit_codes_mean() {
        for arguments in [&["--help"][..], &["check", "--help"]] {
            let help = parse(arguments).unwrap_err().to_string();
            assert!(help.contains("\n  1  it could not run"), "{help}");
            assert!(help.contains("\n  2  the command line"), "{help}");
        }
    }

    #[test]
    fn a_backfill_is_told_its_range() {
        let cli = parse(&[
            "backfill",
            "--config.file=f.yaml",
            "--start=2026-11-01T00:00",
            "--end",
            "2026-11-02Z",
            "--domain=WWW.a.com",
            "--domain=b.com",
            "--output=out.om",
            "--format=text",
        ])
        .unwrap();
        assert_eq!(cli.config_file, PathBuf::from("f.yaml"));
        let Some(Command::Backfill(backfill)) = cli.command else {
            panic!("a backfill")
        };
        assert_eq!(backfill.start, "2026-11-01".parse().unwrap());
        assert_eq!(backfill.end, "2026-11-02T00:00:00Z".parse().unwrap());
        let names: Vec<&str> = backfill.domains.iter().map(Domain::as_str).collect();
        assert_eq!(names, ["www.a.com", "b.com"]);
        assert_eq!(backfill.output, Some("out.om".into()));
        assert_eq!(backfill.format, BackfillFormat::Text);
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for arguments in [
            &["--log.level=loud"][..],
            &["--web.listen-address=10530"],
            &["--web.telemetry-path=metrics"],
            &["--config.fil=x"],
            &["--shard=4/4"],
            &["--shard=0/0"],
            &["--shard=x/4"],
            &["--shard=-1/4"],
            &["--shard=1/"],
            &["--shard= 1/4"],
            &["--shard="],
            &["serve"],
            &["completions", "tcsh"],
            &["backfill", "--start=2026-11-01"],
            &["backfill", "--start=2026-11-01", "--end=tomorrow"],
            &[
                "backfill",
                "--start=2026-11-01",
                "--end=2026-11-02",
                "--domain=https://a.com",
            ],
            &[
                "backfill",
                "--start=2026-11-01",
                "--end=2026-11-02",
                "--format=csv",
            ],
        ] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn the_version_names_the_build() {
        let shown = parse(&["--version"]).unwrap_err();
        assert_eq!(shown.kind(), ErrorKind::DisplayVersion);
        let text = shown.to_string();
        assert!(text.starts_with("jdcloud-cdn-exporter 0."), "{text}");
        assert!(text.contains(", rustc 1."), "{text}");
    }
}
