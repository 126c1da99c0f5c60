//! A response body: shared pieces of known size, or pieces that are made while they are sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

/// What is sent, piece by piece.
pub struct Body(Kind);

enum Kind {
    Whole(Whole),
    Made(Made),
}

/// As its size is exact, the response has a `Content-Length`.
#[derive(Default)]
struct Whole {
    parts: VecDeque<Bytes>,
    /// Bytes not yet sent.
    remaining: u64,
}

type Source = Box<dyn Iterator<Item = Bytes> + Send>;

/// The next piece is made, on a blocking thread, while the present one is sent: a slow client holds
/// two pieces and no thread. Nothing is made before the first one is asked for, so HEAD costs
/// nothing.
enum Made {
    NotBegun(Source),
    UnderWay(JoinHandle<(Option<Bytes>, Source)>),
    Ended,
}

/// A body ends before its page does: the connection is closed, so that the client notices.
#[derive(Debug, thiserror::Error)]
#[error("a page could not be made to its end; please report this with the log around it")]
pub struct BodyError;

impl Body {
    /// A body of these pieces, which are shared, not copied.
    #[must_use]
    pub fn new(parts: Vec<Bytes>) -> Self {
        let remaining = parts
            .iter()
            .map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add);
        // An empty piece would be an empty chunk on the wire's way; leaving it out keeps `is_end_stream` exact.
        Self(Kind::Whole(Whole {
            parts: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            remaining,
        }))
    }

    /// A body of pieces that are made one by one; its length is not known, so it is sent in chunks.
    /// None of them is empty.
    pub fn made(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self(Kind::Made(Made::NotBegun(Box::new(pieces))))
    }
}

impl Default for Body {
    /// Nothing at all.
    fn default() -> Self {
        Self(Kind::Whole(Whole::default()))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(text: T) -> Self {
        Self::new(vec![text.into()])
    }
}

impl Whole {
    fn next(&mut self) -> Option<Bytes> {
        let next = self.parts.pop_front();
        if let Some(part) = &next {
            self.remaining = self
                .remaining
                .saturating_sub(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        next
    }
}

impl Made {
    fn begin(mut source: Source) -> Self {
        Self::UnderWay(tokio::task::spawn_blocking(move || (source.next(), source)))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Self::NotBegun(_) = self
            && let Self::NotBegun(source) = std::mem::replace(self, Self::Ended)
        {
            *self = Self::begin(source);
        }
        let Self::UnderWay(making) = self else {
            return Poll::Ready(None);
        };
        let made = ready!(Pin::new(making).poll(cx));
        *self = Self::Ended;
        Poll::Ready(match made {
            Ok((Some(piece), source)) => {
                *self = Self::begin(source);
                Some(Ok(piece))
            }
            Ok((None, _)) => None,
            // It panicked, which the panic hook has logged, or the process stops.
            Err(_) => Some(Err(BodyError)),
        })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Whole(whole) => Poll::Ready(whole.next().map(|part| Ok(Frame::data(part)))),
            Kind::Made(made) => made
                .poll_next(cx)
                .map(|next| next.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(whole) => whole.parts.is_empty(),
            Kind::Made(made) => matches!(made, Made::Ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(whole) => SizeHint::with_exact(whole.remaining),
            Kind::Made(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn made_pieces_come_in_order_and_only_when_asked_for() {
        let (asked, taken) = std::sync::mpsc::channel();
        let pieces = move || {
            let asked = asked.clone();
            ["a", "b", "c"].into_iter().map(move |piece| {
                asked.send(()).unwrap();
                Bytes::from(piece)
            })
        };
        drop(Body::made(pieces()));
        assert!(taken.try_recv().is_err());
        let whole = Body::made(pieces()).collect().await.unwrap().to_bytes();
        assert_eq!(whole, "abc");
        assert_eq!(taken.try_iter().count(), 3);
    }

    #[tokio::test]
    async fn a_page_that_breaks_off_is_an_error_and_no_end() {
        let pieces = ["a", "panic"].into_iter().map(|piece| {
            assert_ne!(piece, "panic");
            Bytes::from(piece)
        });
        let mut body = Body::made(pieces);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
