//! Accepts connections, keeps them within the limits, and drains them at the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, End};
use super::plain_http;
use super::registry::{Place, Registry};
use super::{Body, Limits, WebFile};

/// After the first failed accept, or one after which connections were closed.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// However long accepting has failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Connections closed when descriptors have run out.
const FREED_AT_ONCE: usize = 8;

/// A flood of clients must not become a flood of log lines.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Always gives a response; the request's body is not to be read.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// An HTTP/1.1 server.
pub struct Server<H> {
    handler: Arc<H>,
    limits: Limits,
    web_file: Option<Arc<WebFile>>,
}

impl<H: Handler> Server<H> {
    /// A server that answers through `handler`.
    #[must_use]
    pub fn new(handler: H, limits: Limits) -> Self {
        Self {
            handler: Arc::new(handler),
            limits,
            web_file: None,
        }
    }

    /// Speaks TLS if the web configuration file says so. Its users and headers are not enforced
    /// here but by [`super::Guard`], which wraps the handler.
    #[must_use]
    pub fn with_web_file(mut self, web_file: Option<Arc<WebFile>>) -> Self {
        self.web_file = web_file;
        self
    }

    /// Serves until `stop`, then ends: idle connections at once, running responses as soon as they
    /// are written, the rest after [`Limits::drain`]. Must run on a tokio runtime.
    ///
    /// # Errors
    /// When a listener cannot be registered with the runtime.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: CancellationToken) -> io::Result<()> {
        let listeners = listeners
            .into_iter()
            .map(tokio::net::TcpListener::from_std)
            .collect::<io::Result<Vec<_>>>()?;
        let server = Arc::new(self);
        let registry = Registry::new(server.limits);
        let tasks = TaskTracker::new();
        let abandon = CancellationToken::new();
        let accepting = Accepting {
            server: &server,
            registry,
            tasks: &tasks,
            stop: &stop,
            abandon: &abandon,
        };
        // Ends when every loop has been stopped; the listeners close with it.
        join_all(listeners.into_iter().map(|listener| accepting.run(listener))).await;
        tasks.close();
        if tokio::time::timeout(server.limits.drain, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = tasks.len(),
                "stopping: connections that did not finish in time are cut off"
            );
            abandon.cancel();
            tasks.wait().await;
        }
        Ok(())
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: &Place,
        stop: CancellationToken,
    ) -> Option<End> {
        // Responses are written in one piece, so waiting to fill packets only adds delay.
        let _ = stream.set_nodelay(true);
        let handler = Arc::clone(&self.handler);
        let state = Arc::clone(&place.state);
        let tls = match &self.web_file {
            Some(file) => file.current().await.tls(),
            None => None,
        };
        let Some(tls) = tls else {
            return Some(connection::serve(stream, handler, state, stop).await);
        };
        let handshake = async {
            if plain_http::is_spoken(&stream).await? {
                plain_http::answer(stream, self.limits.head_bytes).await?;
                return Ok(None);
            }
            TlsAcceptor::from(tls).accept(stream).await.map(Some)
        };
        let stream = tokio::select! {
            shaken = tokio::time::timeout(self.limits.head, handshake) => shaken,
            () = place.state.evicted() => return Some(End::Evicted),
            () = stop.cancelled() => return Some(End::Drained),
        };
        match stream {
            Ok(Ok(Some(stream))) => Some(connection::serve(stream, handler, state, stop).await),
            Ok(Ok(None)) => {
                tracing::debug!(%peer, "plain HTTP came to a port of TLS; it was told to write https://");
                None
            }
            Ok(Err(error)) => {
                let error: io::Error = error;
                tracing::debug!(%peer, %error, "TLS handshake failed");
                None
            }
            Err(_) => Some(End::TooSlow(connection::Phase::Opening)),
        }
    }
}

/// What the accept loops share.
struct Accepting<'a, H> {
    server: &'a Arc<Server<H>>,
    registry: Arc<Registry>,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
    abandon: &'a CancellationToken,
}

impl<H: Handler> Accepting<'_, H> {
    async fn run(&self, listener: tokio::net::TcpListener) {
        let mut failures = 0_u32;
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failures = 0;
                    if let Some(place) = self.registry.enter() {
                        self.start(stream, peer, place);
                    } else {
                        let now = Instant::now();
                        if warned.is_none_or(|at| now.saturating_duration_since(at) >= WARN_INTERVAL) {
                            warned = Some(now);
                            tracing::warn!(%peer, "refused: every connection is busy with a response");
                        }
                    }
                }
                Err(error) => {
                    let Some(pause) = accept_pause(error.kind(), failures) else {
                        continue;
                    };
                    // One line for a row of failures: they come by the thousand.
                    if failures == 0 {
                        tracing::warn!(%error, "cannot accept connections; if descriptors ran out, raise the limit of open files (LimitNOFILE=)");
                    }
                    failures = failures.saturating_add(1);
                    // What is freed also serves polls and file reads, which need descriptors too.
                    let freed = (0..FREED_AT_ONCE).filter(|_| self.registry.make_room()).count();
                    let pause = if freed > 0 { FIRST_PAUSE } else { pause };
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let (server, stop, abandon) = (Arc::clone(self.server), self.stop.clone(), self.abandon.clone());
        self.tasks.spawn(async move {
            let serving = AssertUnwindSafe(server.connection(stream, peer, &place, stop)).catch_unwind();
            let end = tokio::select! {
                end = serving => end,
                () = abandon.cancelled() => return,
            };
            match end {
                Ok(Some(End::Closed(Ok(())) | End::Drained) | None) => {}
                Ok(Some(End::Closed(Err(error)))) => tracing::debug!(%peer, %error, "connection broken"),
                Ok(Some(End::TooSlow(phase))) => {
                    tracing::debug!(%peer, ?phase, "connection closed: too slow");
                }
                Ok(Some(End::Evicted)) => {
                    tracing::debug!(%peer, "connection closed to make room for another");
                }
                // The panic hook has logged where; other connections do not notice.
                Err(_) => tracing::error!(%peer, "a request's handler panicked; its connection was closed"),
            }
        });
    }
}

/// PURE: how long to wait after a failed accept, doubled with each failure in a row. `None` for
/// errors that concern only the connection that was about to be accepted.
fn accept_pause(kind: io::ErrorKind, failures: u32) -> Option<Duration> {
    let of_one_connection = matches!(
        kind,
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    (!of_one_connection).then(|| {
        FIRST_PAUSE
            .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
            .min(LONGEST_PAUSE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_backs_off_unless_only_one_connection_failed() {
        let out_of_files = io::Error::from_raw_os_error(24).kind();
        for (failures, millis) in [
            (0, 10),
            (1, 20),
            (2, 40),
            (6, 640),
            (7, 1_000),
            (31, 1_000),
            (32, 1_000),
            (u32::MAX, 1_000),
        ] {
            assert_eq!(
                accept_pause(out_of_files, failures),
                Some(Duration::from_millis(millis)),
                "{failures}"
            );
        }
        assert_eq!(accept_pause(io::ErrorKind::ConnectionAborted, 9), None);
    }
}
