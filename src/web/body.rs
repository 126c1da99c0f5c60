//! A response body of known size, made of shared pieces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Pieces sent one after the other; as its size is exact, every response has a `Content-Length`.
#[derive(Clone, Debug, Default)]
pub struct Body {
    parts: VecDeque<Bytes>,
    /// Bytes not yet sent.
    remaining: u64,
}

impl Body {
    /// A body of these pieces, which are shared, not copied.
    #[must_use]
    pub fn new(parts: Vec<Bytes>) -> Self {
        let remaining = parts
            .iter()
            .map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add);
        // An empty piece would be an empty chunk on the wire's way; leaving it out keeps `is_end_stream` exact.
        Self {
            parts: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            remaining,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(text: T) -> Self {
        Self::new(vec![text.into()])
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.parts.pop_front();
        if let Some(part) = &next {
            self.remaining = self
                .remaining
                .saturating_sub(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
