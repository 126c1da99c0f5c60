//! What must hold of any input: one function for each fuzz target, which `tests/corpus.rs` calls with
//! the corpus too.

use std::path::Path;
use std::sync::LazyLock;

use chrono::{DateTime, FixedOffset, TimeDelta};
use hyper::Method;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use jdcloud_cdn_exporter::config::{self, Account, Environment};
use jdcloud_cdn_exporter::exposition::{Format, Page, PageError, WindowsPage};
use jdcloud_cdn_exporter::forecast::{Forecast, Text};
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Field, Units, WindowRange};
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::{Asked, decode, decode_list};
use jdcloud_cdn_exporter::web::{Routes, Site, Status, TelemetryPath, WebConfig};
use tokio::runtime::{Builder, Runtime};

/// Any body is an answer about the asked domains and windows, or one error of one short line.
fn reply(endpoint: Endpoint, body: &[u8]) {
    let domains: Vec<Domain> = ["www.a.com", "www.b.com", "play.live.com"]
        .into_iter()
        .filter_map(|name| Domain::parse(name).ok())
        .collect();
    // 2018-06-02 18:00 in Beijing, an hour that holds the documents' example.
    let now = DateTime::from_timestamp(1_527_933_600, 0).expect("an instant");
    let range = WindowRange::last(TimeDelta::hours(1), now);
    let asked = Asked {
        domains: &domains,
        range,
        zone: FixedOffset::east_opt(8 * 3_600).expect("an offset"),
        units: Units::Decimal,
    };
    let outcome = decode(endpoint, body, &asked);
    assert_eq!(
        outcome,
        decode(endpoint, body, &asked),
        "it depends on the body only"
    );
    match outcome {
        Err(error) => assert!(error.to_string().chars().count() < 400),
        Ok(answer) => {
            assert_eq!(answer.readings.len(), domains.len());
            for rows in answer.readings {
                assert!(
                    rows.is_sorted_by(|a, b| a.window < b.window),
                    "one reading a window"
                );
                for reading in rows {
                    assert!(range.contains(reading.window) && !reading.values.is_empty());
                    for value in Field::ALL
                        .into_iter()
                        .filter_map(|field| reading.values.get(field))
                    {
                        assert!(value.is_finite() && value.is_sign_positive());
                    }
                }
            }
        }
    }
}

pub(crate) fn bandwidth_flow(body: &[u8]) {
    reply(Endpoint::BandwidthFlow, body);
}

pub(crate) fn origin_ratio(body: &[u8]) {
    reply(Endpoint::OriginRatio, body);
}

/// Any body is a page of a list of domains, or one error of one short line.
pub(crate) fn query_domains(body: &[u8]) {
    const KEEP: usize = 3;
    let outcome = decode_list(body, KEEP);
    assert_eq!(outcome, decode_list(body, KEEP), "it depends on the body only");
    match outcome {
        Err(error) => assert!(error.to_string().chars().count() < 400),
        Ok(page) => {
            assert!(page.rows.len() <= KEEP && (page.left_out == 0 || page.rows.len() == KEEP));
            for row in page.rows {
                assert!(row.name.len() <= 253 && row.kind.len() <= 200);
                assert_eq!(row.name, row.name.trim().to_ascii_lowercase());
            }
        }
    }
}

/// Any text is a configuration within its bounds, or a list of problems, each of one line.
pub(crate) fn config(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    // What it points to is outside the input.
    if text.contains("secret_key_file") {
        return;
    }
    match config::parse(&text, "fuzz.yaml", &Environment::default()) {
        Err(problems) => {
            assert!(problems.iter().next().is_some());
            assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
        }
        Ok(config) => {
            assert!(!config.accounts.is_empty());
            let settle = config.poll.settle.longest();
            assert!(settle < config.poll.window && settle < config.poll.stale_after);
            assert!(config.api.max_concurrency > 0 && config.api.max_requests_per_second > 0.0);
            let mut names: Vec<&Domain> = config
                .accounts
                .iter()
                .flat_map(|account| account.domains.iter().map(|domain| &domain.name))
                .collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(names.len() == all, "each domain once");
            let reads = |account: &Account| !account.domains.is_empty() || account.discover.is_some();
            assert!(config.accounts.iter().all(reads));
            let shard = Shard::new(1, 3).expect("one of three");
            if let Err(problems) = config::admit(&config, "fuzz.yaml", shard) {
                assert!(
                    problems.iter().all(|problem| !problem.to_string().contains('\n')),
                    "one line each"
                );
            }
            let (forecast, domains) = (Forecast::of_all(&config, 3).expect("own metrics"), true);
            let text = Text {
                forecast: &forecast,
                config: &config,
                domains,
            }
            .to_string();
            assert_eq!(
                text.lines().rev().take_while(|line| !line.is_empty()).count(),
                all + 1,
                "each owned once"
            );
        }
    }
}

/// Any text is a web configuration or a list of problems.
pub(crate) fn web_config(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Err(error) = WebConfig::parse(Path::new("web.yml"), &text) {
        assert!(!error.problems.is_empty());
        assert!(
            error.problems.iter().all(|problem| !problem.contains('\n')),
            "one line each"
        );
    }
}

/// The status page is rendered on its blocking threads.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

struct Stub;

impl Site for Stub {
    async fn metrics(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
        Ok(Page {
            content_type: format.content_type(),
            content_encoding: gzip.then_some("gzip"),
            parts: vec!["up 1\n".into()],
        })
    }
    async fn windows(&self, format: Format, gzip: bool) -> Result<WindowsPage, PageError> {
        self.metrics(format, gzip).await.map(WindowsPage::Whole)
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn status(&self) -> Status {
        Status::default()
    }
    fn shards(&self) -> Vec<String> {
        vec!["exporter-0.example.com:10530".to_owned()]
    }
    async fn reload(&self) -> Result<(), Vec<String>> {
        Ok(())
    }
}

/// Any method, target and headers (`GET /metrics`, then `name: value` lines) get a response of the
/// statuses that the routes have, in a coding that was asked for.
pub(crate) fn routes(request: &[u8]) {
    let mut lines = request.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let Ok(method) = Method::from_bytes(words.next().unwrap_or_default()) else {
        return;
    };
    let path = String::from_utf8_lossy(words.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let routes = Routes::new(Stub, TelemetryPath::default());
    let response = RUNTIME.block_on(routes.respond(&method, &path, &headers));
    let status = response.status().as_u16();
    let bad_query = status == 400 && path.contains('?');
    assert!(bad_query || [200, 404, 405, 406].contains(&status), "{status}");
    if response.headers().contains_key(CONTENT_ENCODING) {
        let asked = headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            value.windows(4).any(|word| word == b"gzip") || value.contains(&b'*')
        });
        assert!(asked, "gzip that nobody asked for");
    }
}
