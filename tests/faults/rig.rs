//! The whole exporter in process (the real `app::run` on a free port), and a scraper of it.

#![allow(
    dead_code,
    reason = "three test binaries share this file and none needs all of it"
)]

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jdcloud_cdn_exporter::app::{self, AppError, Parts};
use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::config::{self, Config, Environment};
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::simulator::{OwnedDomain, SimulatedAccount, Truth};
use jdcloud_cdn_exporter::web::{Limits, TelemetryPath, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const USERNAME: &str = "jcloud_00";
pub(crate) const SECRET_KEY: &str = "made-up-key-of-the-tests";

/// No wait of a test is longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// The simulator's account with these domains.
pub(crate) fn account(domains: &[Domain]) -> SimulatedAccount {
    SimulatedAccount {
        username: USERNAME.to_owned(),
        secret_key: SECRET_KEY.into(),
        domains: domains.iter().cloned().map(OwnedDomain::new).collect(),
    }
}

/// A running exporter.
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    text: Arc<Mutex<String>>,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), AppError>>,
}

impl Exporter {
    pub(crate) fn start(config_text: &str, clock: Clock, limits: Limits) -> Self {
        let text = Arc::new(Mutex::new(config_text.to_owned()));
        let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let load = Arc::clone(&text);
        let config = read(config_text).unwrap();
        let parts = Parts {
            listeners,
            telemetry_path: TelemetryPath::default(),
            trust: Trust::read(&config.api).unwrap(),
            web_file: None,
            limits,
            clock,
            shard: Shard::WHOLE,
            discovery: Pace::default(),
            load_config: Arc::new(move || read(&load.lock().unwrap())),
        };
        let stop = CancellationToken::new();
        let ended = Handle::current().spawn(app::run(config, parts, stop.clone()));
        Self {
            address,
            text,
            stop,
            ended,
        }
    }

    /// What the next reload reads.
    pub(crate) fn set_config(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap());
    }

    /// The status of `POST /-/reload`.
    pub(crate) async fn reload(&self) -> u16 {
        ask(self.address, "POST", "/-/reload", "").await.unwrap().0
    }

    pub(crate) async fn scrape(&self, form: Form) -> Result<Scrape, String> {
        scrape(self.address, form).await
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.ended.is_finished()
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        match timeout(PATIENCE, self.ended).await {
            Ok(Ok(Ok(()))) => Ok(()),
            other => Err(format!("the exporter did not end in order: {other:?}")),
        }
    }
}

fn read(text: &str) -> Result<Config, Vec<String>> {
    config::parse(text, "test.yaml", &Environment::default())
        .and_then(|config| config::admit(&config, "test.yaml", Shard::WHOLE).map(|()| config))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// In which form a scrape is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    pub(crate) open_metrics: bool,
    pub(crate) gzip: bool,
}

impl Form {
    /// The header lines that ask for it.
    pub(crate) fn headers(self) -> &'static str {
        match (self.open_metrics, self.gzip) {
            (false, false) => "",
            (false, true) => "Accept-Encoding: gzip\r\n",
            (true, false) => "Accept: application/openmetrics-text;version=1.0.0\r\n",
            (true, true) => "Accept: application/openmetrics-text;version=1.0.0\r\nAccept-Encoding: gzip\r\n",
        }
    }

    /// The four of them in turn.
    pub(crate) fn nth(n: u64) -> Self {
        Self {
            open_metrics: n % 2 == 1,
            gzip: n / 2 % 2 == 1,
        }
    }
}

/// One scrape, over a connection of its own.
pub(crate) async fn scrape(address: SocketAddr, form: Form) -> Result<Scrape, String> {
    let (status, body) = ask(address, "GET", "/metrics", form.headers())
        .await
        .map_err(|error| format!("a scrape failed: {error}"))?;
    if status != 200 {
        return Err(format!("a scrape got status {status}"));
    }
    let mut text = String::new();
    if form.gzip {
        flate2::read::MultiGzDecoder::new(&body[..])
            .read_to_string(&mut text)
            .map_err(|error| format!("a scrape's gzip is damaged: {error}"))?;
    } else {
        text = String::from_utf8(body).map_err(|error| error.to_string())?;
    }
    if form.open_metrics && !text.ends_with("# EOF\n") {
        return Err("an OpenMetrics scrape has no end".to_owned());
    }
    Scrape::parse(&text)
}

/// One request and its reply, of which the length must be the one that its head tells.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> io::Result<(u16, Vec<u8>)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Ok(bytes)
    };
    let bytes: io::Result<Vec<u8>> = timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let bytes = bytes?;
    let broken = || io::Error::other("no whole HTTP reply");
    let head_end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(broken)?;
    let body = bytes[head_end + 4..].to_vec();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok());
    if length != Some(body.len()) {
        return Err(broken());
    }
    Ok((status, body))
}

/// The samples of a scrape.
pub(crate) struct Scrape(HashMap<String, f64>);

/// The families that show the provider's numbers, and the truth behind each in bytes and ratios.
type TrueValue = fn(&Truth) -> Option<f64>;
pub(crate) const VALUES: [(&str, Endpoint, TrueValue); 5] = [
    (
        "jdcloud_cdn_bandwidth_bytes_per_second",
        Endpoint::BandwidthFlow,
        |truth| Some(truth.bandwidth_mbps * 1e6 / 8.0),
    ),
    ("jdcloud_cdn_flow_bytes", Endpoint::BandwidthFlow, |truth| {
        Some(truth.flow_mb * 1e6)
    }),
    (
        "jdcloud_cdn_edge_bandwidth_bytes_per_second",
        Endpoint::OriginRatio,
        |truth| Some(truth.edge_mbps * 1e6 / 8.0),
    ),
    (
        "jdcloud_cdn_origin_bandwidth_bytes_per_second",
        Endpoint::OriginRatio,
        |truth| Some(truth.origin_mbps * 1e6 / 8.0),
    ),
    ("jdcloud_cdn_origin_ratio", Endpoint::OriginRatio, |truth| {
        truth.origin_ratio_percent.map(|percent| percent / 100.0)
    }),
];

impl Scrape {
    fn parse(text: &str) -> Result<Self, String> {
        let mut samples = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line
                .rsplit_once(' ')
                .ok_or_else(|| format!("no sample: {line}"))?;
            let value = value.parse().map_err(|_| format!("no number: {line}"))?;
            if samples.insert(series.to_owned(), value).is_some() {
                return Err(format!("a series twice: {series}"));
            }
        }
        Ok(Self(samples))
    }

    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// A counter or gauge of the exporter's own with these labels; 0 where it is absent.
    pub(crate) fn own(&self, name: &str, labels: &str) -> f64 {
        self.get(&format!("jdcloud_cdn_exporter_{name}{labels}"))
            .unwrap_or_default()
    }

    pub(crate) fn failures(&self, endpoint: Endpoint, reason: &str) -> f64 {
        self.own(
            "api_request_failures_total",
            &format!("{{endpoint=\"{endpoint}\",reason=\"{reason}\"}}"),
        )
    }

    /// Every failed request to an endpoint.
    pub(crate) fn all_failures(&self, endpoint: Endpoint) -> f64 {
        let start = format!("jdcloud_cdn_exporter_api_request_failures_total{{endpoint=\"{endpoint}\"");
        let of_endpoint = self.0.iter().filter(|(series, _)| series.starts_with(&start));
        of_endpoint.map(|(_, value)| value).sum()
    }

    pub(crate) fn rejects(&self, endpoint: Endpoint, reason: &str) -> f64 {
        self.own(
            "rejects_total",
            &format!("{{endpoint=\"{endpoint}\",reason=\"{reason}\"}}"),
        )
    }

    pub(crate) fn up(&self, domain: &Domain, endpoint: Endpoint) -> Option<bool> {
        self.get(&format!(
            "jdcloud_cdn_up{{domain=\"{domain}\",endpoint=\"{endpoint}\"}}",
            domain = domain.as_str()
        ))
        .map(|up| up > 0.5)
    }

    /// The window whose values are shown.
    pub(crate) fn window(&self, domain: &Domain, endpoint: Endpoint) -> Option<Window> {
        let time = self.get(&format!(
            "jdcloud_cdn_sample_timestamp_seconds{{domain=\"{domain}\",endpoint=\"{endpoint}\"}}",
            domain = domain.as_str()
        ))?;
        #[allow(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "whole seconds"
        )]
        Window::ending_at(time as i64)
    }

    pub(crate) fn value(&self, family: &str, domain: &Domain) -> Option<f64> {
        self.get(&format!("{family}{{domain=\"{}\"}}", domain.as_str()))
    }

    /// Holds every value of the scrape against what the provider may have given for the window that
    /// its timestamp names. Gives the number of values, or the first wrong one.
    pub(crate) fn check(
        &self,
        domains: &[Domain],
        given: impl Fn(&Domain, Window) -> Vec<Truth>,
    ) -> Result<usize, String> {
        let mut checked = 0;
        for domain in domains {
            for (family, endpoint, true_value) in VALUES {
                let Some(shown) = self.value(family, domain) else {
                    continue;
                };
                let window = self
                    .window(domain, endpoint)
                    .ok_or_else(|| format!("{family} of {domain:?} without a window"))?;
                let truths = given(domain, window);
                let is_true = truths
                    .iter()
                    .filter_map(true_value)
                    // The last bits may differ: the exporter multiplies in another order.
                    .any(|truth| (shown - truth).abs() <= truth * 1e-14);
                if !is_true {
                    return Err(format!(
                        "WRONG VALUE {shown} of {family}, {domain:?}, window {}: the provider gave {truths:?}",
                        window.end()
                    ));
                }
                checked += 1;
            }
        }
        let shown = self
            .0
            .keys()
            .filter(|series| {
                VALUES
                    .iter()
                    .any(|(family, ..)| series.starts_with(&format!("{family}{{")))
            })
            .count();
        if shown != checked {
            return Err(format!(
                "{shown} values shown, of which {checked} of configured domains"
            ));
        }
        Ok(checked)
    }
}
