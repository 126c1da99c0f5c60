//! One connection: what it is doing, since when, and until when it may.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::body::BodyError;
use super::server::Handler;
use super::{Body, Limits};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, perhaps shaking hands; nothing of a request has come yet.
    Opening,
    /// A request's head has begun.
    Head,
    /// The handler has the request.
    Handling,
    /// The response is being written.
    Writing,
    /// A response was written; waiting for the next request.
    Idle,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// By the client, by a broken request, or after its last response.
    Closed(Result<(), hyper::Error>),
    /// It was too slow in this phase.
    TooSlow(Phase),
    /// It made room for another.
    Evicted,
    /// The server stops and no response was under way.
    Drained,
}

/// The shared record of a connection: written by its own task, read when room is needed.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    inner: Mutex<Inner>,
    evict: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    since: Instant,
    /// Hyper has taken the response's last byte; what is left is to flush it.
    body_taken: bool,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        let inner = Inner {
            phase: Phase::Opening,
            since: Instant::now(),
            body_taken: false,
        };
        Self {
            limits,
            inner: Mutex::new(inner),
            evict: CancellationToken::new(),
        }
    }

    /// Asks the connection's task to close it at once.
    pub(super) fn evict(&self) {
        self.evict.cancel();
    }

    /// Waits for that request.
    pub(super) async fn evicted(&self) {
        self.evict.cancelled().await;
    }

    /// What it is doing and since when; `None` once it was told to close.
    pub(super) fn phase(&self) -> Option<(Phase, Instant)> {
        (!self.evict.is_cancelled()).then(|| self.with(|inner| (inner.phase, inner.since)))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, phase: Phase) {
        self.with(|inner| {
            *inner = Inner {
                phase,
                since: Instant::now(),
                body_taken: false,
            }
        });
    }

    /// Bytes came. While a response is under way they belong to a later request and change nothing.
    fn bytes_read(&self) {
        if self.with(|inner| matches!(inner.phase, Phase::Opening | Phase::Idle)) {
            self.enter(Phase::Head);
        }
    }

    /// Everything handed over so far has left.
    fn flushed(&self) {
        if self.with(|inner| inner.phase == Phase::Writing && inner.body_taken) {
            self.enter(Phase::Idle);
        }
    }

    /// When the present phase must have ended; a handler is given the time it needs, as it bounds
    /// itself and the client is not in control of it.
    fn deadline(&self) -> Option<Instant> {
        let limits = self.limits;
        self.with(|inner| {
            let limit = match inner.phase {
                Phase::Opening | Phase::Head => limits.head,
                Phase::Handling => return None,
                Phase::Writing => limits.response,
                Phase::Idle => limits.idle,
            };
            inner.since.checked_add(limit)
        })
    }

    /// No response is under way, so nobody loses anything when it closes.
    fn is_waiting(&self) -> bool {
        self.with(|inner| matches!(inner.phase, Phase::Opening | Phase::Head | Phase::Idle))
    }
}

/// Serves requests until the connection ends.
pub(super) async fn serve<H: Handler>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<H>,
    state: Arc<State>,
    draining: CancellationToken,
) -> End {
    let service = {
        let state = Arc::clone(&state);
        service_fn(move |request| respond(Arc::clone(&handler), Arc::clone(&state), request))
    };
    let io = TokioIo::new(Watched {
        stream,
        state: Arc::clone(&state),
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // This module times the head itself: hyper's own timer would also run between requests.
        .header_read_timeout(None)
        .max_buf_size(state.limits.head_bytes)
        .max_headers(state.limits.header_lines)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut evicted = pin!(state.evicted());
    let mut stopping = pin!(draining.cancelled());
    let mut stopped = false;
    let mut timer = pin!(sleep_until(Instant::now()));
    // One task does everything, so the deadline is looked up after every change of phase.
    std::future::poll_fn(|cx| {
        if evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Evicted);
        }
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(End::Closed(result));
        }
        if stopped && state.is_waiting() {
            return Poll::Ready(End::Drained);
        }
        let Some(deadline) = state.deadline() else {
            return Poll::Pending;
        };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer
            .as_mut()
            .poll(cx)
            .map(|()| End::TooSlow(state.with(|inner| inner.phase)))
    })
    .await
}

async fn respond<H: Handler>(
    handler: Arc<H>,
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<CountedBody>, Infallible> {
    state.enter(Phase::Handling);
    let response = if request.body().size_hint().lower() > state.limits.body_bytes {
        too_large()
    } else {
        handler.handle(request).await
    };
    state.enter(Phase::Writing);
    Ok(response.map(|body| CountedBody { body, state }))
}

fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::from(
        "the request's body is too large; no page here takes one\n",
    ));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body that tells when hyper is done with it, which also happens when it is never sent (HEAD).
struct CountedBody {
    body: Body,
    state: Arc<State>,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.state.with(|inner| inner.body_taken = true);
    }
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that reports the first byte of a request and the last byte of a response.
struct Watched<S> {
    stream: S,
    state: Arc<State>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.state.bytes_read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(result, Poll::Ready(Ok(()))) {
            self.state.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
