//! A server on a free port and a client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::exposition::{Format, Page, PageError, WindowsPage, WindowsText};
use jdcloud_cdn_exporter::model::{
    AccountName, Domain, Endpoint, Entry, Field, Reading, Snapshot, Track, Values, VisibilityRule,
};
use jdcloud_cdn_exporter::web::{
    Guard, Limits, Routes, Server, Site, Status, TelemetryPath, WebFile, listener,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A site whose pages are as large and as slow as a test wants.
#[derive(Clone, Default)]
pub(crate) struct TestSite {
    /// Pieces of 64 KiB in the metrics page; 0 gives a short page.
    pub(crate) pieces: usize,
    /// Reload says that it has begun, then waits to be let go.
    pub(crate) begun: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
    /// Readiness panics.
    pub(crate) broken: bool,
}

impl Site for TestSite {
    async fn metrics(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
        let piece = bytes::Bytes::from(vec![b'x'; 64 * 1_024]);
        let parts = if self.pieces == 0 {
            vec!["up ".into(), "1\n".into()]
        } else {
            vec![piece; self.pieces]
        };
        Ok(Page {
            content_type: format.content_type(),
            content_encoding: gzip.then_some("gzip"),
            parts,
        })
    }
    /// Half a megabyte for each piece of the site, made while it is sent.
    async fn windows(&self, format: Format, _: bool) -> Result<WindowsPage, PageError> {
        Ok(WindowsPage::Pieces {
            content_type: format.content_type(),
            text: WindowsText::new(Arc::new(week(self.pieces)), WEEK_END, format),
        })
    }
    fn ready(&self) -> Result<(), String> {
        assert!(!self.broken, "broken on purpose");
        Ok(())
    }
    fn status(&self) -> Status {
        Status::default()
    }
    fn shards(&self) -> Vec<String> {
        vec!["exporter-0.example.com:10530".to_owned()]
    }
    async fn reload(&self) -> Result<(), Vec<String>> {
        self.begun.notify_one();
        self.go.notified().await;
        Ok(())
    }
}

/// The end of the windows of [`week`].
pub(crate) const WEEK_END: DateTime<Utc> = DateTime::from_timestamp(1_800_014_400, 0).unwrap();

/// A week of both fields of `bandwidth_flow` for so many domains.
pub(crate) fn week(domains: usize) -> Snapshot {
    let rule = VisibilityRule {
        settle: TimeDelta::zero(),
        stale_after: TimeDelta::days(7),
        horizon: TimeDelta::days(7),
    };
    let windows = rule.settled(WEEK_END);
    let readings: Vec<_> = (0..2_016)
        .map(|place| Reading {
            window: windows.first.plus(place),
            values: Values::NONE
                .with(Field::Bandwidth, f64::from(place))
                .with(Field::Flow, f64::from(place) * 300.0),
        })
        .collect();
    let mut track = Track::new(Endpoint::BandwidthFlow);
    track.series.merge(&readings, windows);
    let entry = |n| {
        Arc::new(Entry {
            domain: Domain::parse(&format!("d{n}.example.com")).unwrap(),
            account: AccountName::new("a"),
            source: 0,
            tracks: [Some(track.clone()), None],
        })
    };
    Snapshot::new(1, rule, (0..domains).map(entry).collect())
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<std::io::Result<()>>,
}

/// Starts a server; it ends with the test's runtime.
pub(crate) fn start(site: TestSite, limits: Limits, web_file: Option<WebFile>) -> Running {
    let web_file = web_file.map(Arc::new);
    let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = CancellationToken::new();
    let handler = Guard::new(Routes::new(site, TelemetryPath::default()), web_file.clone());
    let serving = Server::new(handler, limits)
        .with_web_file(web_file)
        .serve(listeners, stop.clone());
    let ended = tokio::runtime::Handle::current().spawn(serving);
    Running { address, stop, ended }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    within(TcpStream::connect(address)).await.unwrap()
}

/// The outcome, or a failed test.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future)
        .await
        .expect("took longer than the test's patience")
}

pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    within(stream.write_all(text.as_bytes())).await.unwrap();
}

/// Waits until the server closes, and gives what it sent before; a reset counts as closed.
pub(crate) async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut got = Vec::new();
    let _ = within(stream.read_to_end(&mut got)).await;
    got
}

/// One response: status line and headers, and as many bytes of body as `Content-Length` says.
pub(crate) async fn response(stream: &mut (impl AsyncRead + Unpin), with_body: bool) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("closed within the head"));
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = header(&head, "content-length")
        .expect("every response has a length")
        .parse()
        .unwrap();
    let mut body = vec![0; if with_body { length } else { 0 }];
    within(stream.read_exact(&mut body)).await.unwrap();
    (head, body)
}

/// A header's value in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The status of `GET path` on a connection of its own.
pub(crate) async fn status(address: SocketAddr, path: &str) -> u16 {
    let mut stream = connect(address).await;
    send(
        &mut stream,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
    .await;
    let (head, _) = response(&mut stream, true).await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
