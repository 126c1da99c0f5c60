//! The command line: flags with dots, as Prometheus' own programs have them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::build_info;
use crate::model::Domain;

/// Prometheus exporter for JD Cloud CDN: bandwidth, flow and origin ratio by domain.
#[derive(Clone, Debug, Parser)]
#[command(name = "jdcloud-cdn-exporter", version = build_info::SUMMARY)]
pub struct Cli {
    /// The configuration file (YAML).
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "config/exporter.yaml"
    )]
    pub config_file: PathBuf,

    /// Check the configuration, print a summary or every problem, and exit with 0 or 2.
    #[arg(long = "config.check")]
    pub config_check: bool,

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the exporter against a simulated provider on this machine; no account is needed.
    Demo,
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

    /// The path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path,
        global = true
    )]
    pub telemetry_path: String,

    /// A web configuration file: TLS, users and headers, as Prometheus' exporter-toolkit has it.
    #[arg(
        id = "web_config_file",
        long = "web.config.file",
        value_name = "FILE",
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

/// The hosts that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenHost {
    /// Every address of the machine, IPv4 and IPv6.
    Any,
    /// One address.
    Ip(IpAddr),
    /// A name, resolved when the listener is bound.
    Name(String),
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The host part.
    pub host: ListenHost,
    /// The port; 0 lets the system choose one.
    pub port: u16,
}

/// Why a text is no listen address; each message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// No port at all.
    #[error("has no port; write :10530, host:10530 or [::1]:10530")]
    NoPort,
    /// A port that is no number up to 65535.
    #[error("has no valid port; write a number from 0 to 65535 after the last colon")]
    Port,
    /// An IPv6 address without brackets.
    #[error("is an IPv6 address without brackets; write [{0}]:10530")]
    Brackets(Ipv6Addr),
    /// Brackets around something else.
    #[error("has no IPv6 address in its brackets; write for example [::1]:10530")]
    V6,
    /// `http://…`, or a path after the port.
    #[error("is a URL; write the host and the port alone, for example 127.0.0.1:10530")]
    Url,
    /// No address and no host name.
    #[error(
        "has no valid host; write an address or a host name before the port, or nothing for every address"
    )]
    Host,
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return Err(ListenAddressError::Url);
        }
        if let Ok(bare) = text.parse() {
            return Err(ListenAddressError::Brackets(bare));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError::NoPort)?;
        if port.is_empty() || host.starts_with('[') && !host.ends_with(']') {
            return Err(ListenAddressError::NoPort);
        }
        // `parse` alone would take "+80".
        let port = Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .ok_or(ListenAddressError::Port)?;
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl FromStr for ListenHost {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if let Some(inner) = text.strip_prefix('[') {
            return inner
                .strip_suffix(']')
                .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
                .map(|address| Self::Ip(address.into()))
                .ok_or(ListenAddressError::V6);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return match address {
                IpAddr::V4(_) => Ok(Self::Ip(address)),
                IpAddr::V6(bare) => Err(ListenAddressError::Brackets(bare)),
            };
        }
        Domain::parse(text)
            .map(|name| Self::Name(name.as_str().to_owned()))
            .map_err(|_| ListenAddressError::Host)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::Any => write!(f, ":{}", self.port),
            ListenHost::Ip(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            ListenHost::Ip(address) => write!(f, "{address}:{}", self.port),
            ListenHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// The paths that have a page of their own.
const RESERVED_PATHS: [&str; 7] = [
    "/",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/windows",
    "/sd",
    "/api/status",
];

fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("does not start with a slash; write for example /metrics".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !text.bytes().all(plain)
        || text.contains("//")
        || text.split('/').any(|part| part == "." || part == "..")
    {
        return Err(
            "is no plain path; use letters, digits, slashes and -._~, for example /metrics".to_owned(),
        );
    }
    if RESERVED_PATHS.contains(&text)
        || text.ends_with('/') && RESERVED_PATHS.contains(&text.trim_end_matches('/'))
    {
        return Err("is the path of another page; write for example /metrics".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["jdcloud-cdn-exporter"].iter().chain(arguments))
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
        assert_eq!(cli.web.listen_addresses, [":10530".parse().unwrap()]);
        assert_eq!(cli.web.telemetry_path, "/metrics");
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
        ];
        let before: Vec<&str> = flags.iter().copied().chain(["demo"]).collect();
        let after: Vec<&str> = ["demo"].into_iter().chain(flags).collect();
        for arguments in [before, after] {
            let cli = parse(&arguments).unwrap();
            let addresses: Vec<String> = cli.web.listen_addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, ["127.0.0.1:0", "[::1]:9"]);
            assert_eq!(cli.web.telemetry_path, "/m");
            assert_eq!(cli.web.config_file, Some("web.yml".into()));
            assert_eq!(
                (cli.log.level, cli.log.format),
                (LogLevel::Debug, LogFormat::Json)
            );
            assert_eq!(cli.command, Some(Command::Demo));
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for arguments in [
            &["--log.level=loud"][..],
            &["--web.listen-address=10530"],
            &["--web.telemetry-path=/"],
            &["--config.fil=x"],
            &["serve"],
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

    #[test]
    fn listen_addresses_keep_their_spelling() {
        for (text, host, port) in [
            (":10530", ListenHost::Any, 10530),
            ("0.0.0.0:1", ListenHost::Ip(IpAddr::from([0, 0, 0, 0])), 1),
            ("[::1]:65535", ListenHost::Ip(Ipv6Addr::LOCALHOST.into()), 65535),
            ("localhost:0", ListenHost::Name("localhost".to_owned()), 0),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address, ListenAddress { host, port });
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_listen_addresses() {
        for (text, error) in [
            ("", ListenAddressError::NoPort),
            ("10530", ListenAddressError::NoPort),
            ("localhost", ListenAddressError::NoPort),
            ("localhost:", ListenAddressError::NoPort),
            ("[::1]", ListenAddressError::NoPort),
            (":65536", ListenAddressError::Port),
            (":+80", ListenAddressError::Port),
            (":http", ListenAddressError::Port),
            ("::1", ListenAddressError::Brackets(Ipv6Addr::LOCALHOST)),
            ("[localhost]:80", ListenAddressError::V6),
            ("http://localhost:80", ListenAddressError::Url),
            ("localhost:80/metrics", ListenAddressError::Url),
            ("a b:80", ListenAddressError::Host),
            ("999.1.1.1:80", ListenAddressError::Host),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_telemetry_path_stays_out_of_the_way_of_other_pages() {
        for path in [
            "/metrics",
            "/m/e.t-r_i~cs",
            "/windows2",
            "/-/metrics",
            "/metrics/",
        ] {
            assert_eq!(telemetry_path(path).as_deref(), Ok(path));
        }
        for path in [
            "",
            "metrics",
            "/",
            "/windows",
            "/windows/",
            "/-/ready",
            "/-/healthy",
            "/-/reload",
            "/sd",
            "/api/status",
            "/m?x",
            "/a b",
            "/a/../b",
            "//m",
            "/mé",
            "/a%2f",
        ] {
            assert!(telemetry_path(path).is_err(), "{path:?}");
        }
    }
}
