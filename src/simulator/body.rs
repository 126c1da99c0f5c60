//! The bodies of replies: whole, slow, endless, cut off, swollen.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use tokio_util::sync::CancellationToken;

/// How the simulator leaves a connection before its reply is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HangUp {
    /// In order.
    Close,
    /// With a reset.
    Reset,
}

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulator hangs up on purpose")
    }
}

impl std::error::Error for HangUp {}

/// Any body.
pub(super) type Body = UnsyncBoxBody<Bytes, HangUp>;

/// How many blanks stand before the good reply in [`swollen`] and [`bomb`]: more than any cap that a
/// client is likely to have, and legal JSON, so a client without a cap takes the reply.
pub(super) const SWOLLEN_BYTES: usize = 80 << 20;

/// One piece of an endless or swollen body.
static PIECE: [u8; 64 << 10] = [b' '; 64 << 10];

pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// One byte in each interval; ends early, as an error, when the simulator stops.
pub(super) fn drip(reply: String, interval: Duration, stop: CancellationToken) -> Body {
    let bytes = Bytes::from(reply);
    let pieces = stream::unfold(bytes, move |mut rest| {
        let stop = stop.clone();
        async move {
            if rest.is_empty() {
                return None;
            }
            let first = rest.split_to(1);
            let slept = stop.run_until_cancelled(tokio::time::sleep(interval)).await;
            let piece = slept.map(|()| first).ok_or(HangUp::Close);
            Some((piece, rest))
        }
    });
    streamed(pieces)
}

/// A good beginning, then blanks until the client leaves or the simulator stops.
pub(super) fn endless(stop: CancellationToken) -> Body {
    let start = stream::iter([Ok(Bytes::from_static(br#"{"status":0,"msg":"","data":["#))]);
    let blanks = stream::repeat_with(move || {
        if stop.is_cancelled() {
            Err(HangUp::Close)
        } else {
            Ok(Bytes::from_static(&PIECE))
        }
    });
    streamed(start.chain(blanks))
}

/// The first half of the reply, then an error, at which hyper ends the connection.
pub(super) fn cut_off(reply: String) -> Body {
    let mut bytes = Bytes::from(reply);
    bytes.truncate(bytes.len() / 2);
    let end = stream::once(async {
        // Lets hyper send the half before it hears of the error.
        tokio::task::yield_now().await;
        Err(HangUp::Close)
    });
    streamed(stream::iter([Ok(bytes)]).chain(end))
}

/// [`SWOLLEN_BYTES`] of blanks, then the reply.
pub(super) fn swollen(reply: String) -> Body {
    let blanks = stream::repeat(Ok(Bytes::from_static(&PIECE))).take(SWOLLEN_BYTES / PIECE.len());
    streamed(blanks.chain(stream::iter([Ok(Bytes::from(reply))])))
}

/// The reply, gzip-compressed; `None` only if the encoder fails, which it cannot in memory.
pub(super) fn gzip(reply: &str) -> Option<Body> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(reply.as_bytes()).ok()?;
    encoder.finish().ok().map(whole)
}

/// [`SWOLLEN_BYTES`] of blanks and then the reply, gzip-compressed to about a thousandth.
///
/// One block of blanks is compressed once and repeated: after a full flush a block stands on its own.
pub(super) fn bomb(reply: &str) -> Option<Body> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut block = Vec::with_capacity(PIECE.len());
    deflate
        .compress_vec(&PIECE, &mut block, FlushCompress::Full)
        .ok()?;
    let mut tail = Vec::with_capacity(reply.len() + 1_024);
    deflate
        .compress_vec(reply.as_bytes(), &mut tail, FlushCompress::Finish)
        .ok()?;
    let mut crc = Crc::new();
    let mut bytes = HEADER.to_vec();
    for _ in 0..SWOLLEN_BYTES / PIECE.len() {
        bytes.extend_from_slice(&block);
        crc.update(&PIECE);
    }
    crc.update(reply.as_bytes());
    bytes.extend_from_slice(&tail);
    bytes.extend_from_slice(&crc.sum().to_le_bytes());
    bytes.extend_from_slice(&crc.amount().to_le_bytes());
    Some(whole(bytes))
}

/// The reply with two bytes that are no UTF-8 at the start of its `msg`.
pub(super) fn invalid_utf8(reply: &str) -> Vec<u8> {
    const KEY: &str = "\"msg\":\"";
    let (before, after) = match reply.find(KEY) {
        Some(at) => reply.split_at(at + KEY.len()),
        None => (reply, ""),
    };
    [before.as_bytes(), b"\xff\xfe", after.as_bytes()].concat()
}

/// A reply whose `data` is so many arrays in each other.
pub(super) fn nested(depth: u32) -> String {
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"status":0,"msg":"","data":{open}{close}}}"#)
}

fn streamed(pieces: impl Stream<Item = Result<Bytes, HangUp>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    const REPLY: &str = r#"{"status":0,"msg":"ok","data":[]}"#;

    async fn collect(body: Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_bomb_is_a_valid_gzip_stream_a_thousand_times_its_size() {
        let bytes = collect(bomb(REPLY).unwrap()).await;
        assert!(bytes.len() < SWOLLEN_BYTES / 100, "{}", bytes.len());
        let mut expanded = Vec::new();
        // The decoder checks the sum and the length at the end.
        GzDecoder::new(&bytes[..]).read_to_end(&mut expanded).unwrap();
        assert_eq!(expanded.len(), SWOLLEN_BYTES + REPLY.len());
        assert_eq!(expanded.trim_ascii_start(), REPLY.as_bytes());
    }

    #[tokio::test]
    async fn gzip_expands_to_the_reply() {
        let bytes = collect(gzip(REPLY).unwrap()).await;
        let mut expanded = String::new();
        GzDecoder::new(&bytes[..]).read_to_string(&mut expanded).unwrap();
        assert_eq!(expanded, REPLY);
    }

    #[tokio::test]
    async fn a_cut_off_body_gives_half_and_an_error() {
        let mut body = cut_off("0123456789".to_owned());
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "01234");
        assert_eq!(body.frame().await.unwrap().unwrap_err(), HangUp::Close);
    }

    #[test]
    fn damage_is_where_it_should_be() {
        let damaged = invalid_utf8(REPLY);
        assert!(std::str::from_utf8(&damaged).is_err());
        assert_eq!(String::from_utf8_lossy(&damaged).replace('\u{fffd}', ""), REPLY);
        assert_eq!(nested(2), r#"{"status":0,"msg":"","data":[[]]}"#);
    }
}
