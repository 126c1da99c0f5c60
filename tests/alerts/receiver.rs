//! Takes what Alertmanager posts to a webhook, and keeps it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One alert in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// `firing` or `resolved`.
    pub(crate) status: String,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

impl Told {
    /// Status, name, and the domain or instance that it is about.
    pub(crate) fn short(&self) -> String {
        let about = ["domain", "instance"]
            .iter()
            .find_map(|label| self.labels[label].as_str());
        let name = self.labels["alertname"].as_str().unwrap_or_default();
        format!("{} {name} {}", self.status, about.unwrap_or_default())
    }

    /// A text that a person reads.
    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.annotations[name].as_str().unwrap_or_default()
    }
}

/// Listens on a free port until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Each message comes on a connection of its own; one that breaks is sent again.
                if let Ok(message) = take(stream).await {
                    heard.lock().unwrap().extend(message);
                }
            }
        });
        Self {
            address,
            told,
            _tasks: tasks,
        }
    }

    /// Everything so far, in the order in which it came.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

/// The alerts of one message, which is answered with 200.
async fn take(mut stream: TcpStream) -> io::Result<Vec<Told>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    stream.read_exact(&mut body).await?;
    let message: Value = serde_json::from_slice(&body)?;
    let alerts = message["alerts"].as_array().ok_or(io::ErrorKind::InvalidData)?;
    let told = alerts.iter().map(|alert| Told {
        status: alert["status"].as_str().unwrap_or_default().to_owned(),
        labels: alert["labels"].clone(),
        annotations: alert["annotations"].clone(),
    });
    let told = told.collect();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await?;
    Ok(told)
}
