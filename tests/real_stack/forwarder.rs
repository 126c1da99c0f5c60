//! Stands between Prometheus and the exporter and sees to it that a format is really spoken: an old
//! Prometheus asks for `OpenMetrics` by itself and cannot be told to ask for text, so for text its
//! `Accept` header is left out.

use std::net::SocketAddr;

use jdcloud_cdn_exporter::exposition::Format;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Listens on a free port until it is dropped.
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Forwarder {
    pub(crate) async fn start(target: SocketAddr, format: Format) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // One at a time is enough for one scraper; a broken scrape shows as `up` 0.
                let _ = forward(stream, target, format).await;
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}

/// One request and its response, which fails if it is of another format.
async fn forward(mut client: TcpStream, target: SocketAddr, format: Format) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let (kind, dropped): (_, &[&str]) = match format {
        Format::Text => ("text/plain; version=0.0.4", &["connection:", "accept:"]),
        Format::OpenMetrics => ("application/openmetrics-text; version=1.0.0", &["connection:"]),
    };
    let mut request = String::new();
    for line in head.lines().filter(|line| !line.is_empty()) {
        if !dropped.iter().any(|name| line.to_lowercase().starts_with(name)) {
            request.extend([
                line, "
",
            ]);
        }
    }
    request += "Connection: close

";
    let mut server = TcpStream::connect(target).await?;
    server.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    server.read_to_end(&mut response).await?;
    if !String::from_utf8_lossy(&response).contains(kind) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    client.write_all(&response).await
}
