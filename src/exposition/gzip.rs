//! One gzip member made of two parts, the first of which is compressed once and shared.
//!
//! Deflate streams can be joined where one ends without a final block on a byte boundary, and CRCs
//! can be combined. Two whole members would do the same in theory, but some readers stop after the
//! first.

use std::io::{self, Write};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Deflate, no flags, no time, unknown system (RFC 1952, section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The output grows by at least this much, in bytes.
const GROWTH: usize = 16 * 1024;

/// Compresses what is written to it, so that the plain text is never held whole.
pub(super) struct Deflater {
    deflate: Compress,
    out: Vec<u8>,
    checksum: Hasher,
}

/// The rest of a compressed part and the checksum (and length) of its plain text.
pub(super) struct Deflated {
    /// The bytes to send.
    pub(super) bytes: Vec<u8>,
    /// Of the plain text.
    pub(super) checksum: Hasher,
}

impl Deflater {
    /// The first part of a member.
    pub(super) fn head(level: Compression) -> Self {
        Self::new(level, HEADER.to_vec())
    }

    /// The last part of a member.
    pub(super) fn tail(level: Compression) -> Self {
        Self::new(level, Vec::new())
    }

    fn new(level: Compression, out: Vec<u8>) -> Self {
        Self {
            deflate: Compress::new(level, false),
            out,
            checksum: Hasher::new(),
        }
    }

    /// What has come out so far, once it is at least so many bytes; the rest follows later.
    pub(super) fn take_from(&mut self, least: usize) -> Option<Vec<u8>> {
        (self.out.len() >= least).then(|| {
            let next = Vec::with_capacity(least + GROWTH);
            let mut taken = std::mem::replace(&mut self.out, next);
            taken.shrink_to_fit();
            taken
        })
    }

    /// Ends the first part on a byte boundary, open for another.
    pub(super) fn pause(mut self) -> io::Result<Deflated> {
        // Done when there was room to spare after the flush.
        loop {
            self.out.reserve(GROWTH);
            self.deflate
                .compress_vec(&[], &mut self.out, FlushCompress::Sync)?;
            if self.out.len() < self.out.capacity() {
                break;
            }
        }
        self.out.shrink_to_fit();
        Ok(Deflated {
            bytes: self.out,
            checksum: self.checksum,
        })
    }

    /// Ends the last part, of which nothing but the trailer is missing then.
    pub(super) fn finish(mut self) -> io::Result<Deflated> {
        loop {
            self.out.reserve(GROWTH);
            let status = self
                .deflate
                .compress_vec(&[], &mut self.out, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
        }
        self.out.shrink_to_fit();
        Ok(Deflated {
            bytes: self.out,
            checksum: self.checksum,
        })
    }
}

/// What ends a member of two parts with these checksums (RFC 1952, section 2.3.1).
pub(super) fn trailer(head: &Hasher, tail: &Hasher) -> [u8; 8] {
    let mut whole = head.clone();
    whole.combine(tail);
    // The length is given modulo 2^32.
    let length = head.total_len().wrapping_add(tail.total_len());
    let (sum, length) = (u64::from(whole.finalize()), length & u64::from(u32::MAX));
    (sum | (length << 32)).to_le_bytes()
}

impl Write for Deflater {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        let mut taken: &[u8] = &[];
        // A call may only bring out what earlier ones left; then there is room for the next.
        while taken.is_empty() && !plain.is_empty() {
            self.out.reserve(GROWTH);
            let before = (self.deflate.total_in(), self.out.len());
            self.deflate
                .compress_vec(plain, &mut self.out, FlushCompress::None)?;
            let count = usize::try_from(self.deflate.total_in() - before.0).unwrap_or(usize::MAX);
            taken = plain.get(..count).unwrap_or(plain);
            if taken.is_empty() && self.out.len() == before.1 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.checksum.update(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::GzDecoder;
    use std::io::Read;

    fn member(level: u32, first: &[&[u8]], last: &[u8]) -> Vec<u8> {
        let mut head = Deflater::head(Compression::new(level));
        let mut taken = Vec::new();
        for piece in first {
            head.write_all(piece).unwrap();
            taken.extend(head.take_from(100_000).into_iter().flatten());
        }
        let head = head.pause().unwrap();
        let mut tail = Deflater::tail(Compression::new(level));
        tail.write_all(last).unwrap();
        let tail = tail.finish().unwrap();
        let trailer = trailer(&head.checksum, &tail.checksum);
        [&taken, &head.bytes, &tail.bytes, &trailer[..]].concat()
    }

    /// Bytes that do not compress, so that the output outgrows every buffer.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn two_parts_are_one_member() {
        let long = "jdcloud_cdn_up 1\n".repeat(50_000);
        let noisy = noise(300_000);
        let cases: [(&[&[u8]], &[u8]); 6] = [
            (&[], b""),
            (&[], b"tail"),
            (&[b"head"], b""),
            (&[b"he", b"", b"ad"], b"tail"),
            (&[long.as_bytes(), b"x", long.as_bytes()], long.as_bytes()),
            (&[&noisy, &noisy], &noisy),
        ];
        for level in [0, 1, 2, 6, 9] {
            for (first, last) in cases {
                let member = member(level, first, last);
                let mut decoder = GzDecoder::new(&member[..]);
                let mut text = Vec::new();
                decoder.read_to_end(&mut text).unwrap();
                assert!(text == [&first.concat(), last].concat());
                assert!(decoder.into_inner().is_empty());
            }
        }
    }

    #[test]
    fn a_flush_that_fills_its_buffer_is_complete() {
        // Every length around the size of the buffer.
        for length in GROWTH - 40..GROWTH + 20 {
            let noisy = noise(length);
            let member = member(0, &[&noisy], b"end");
            let mut text = Vec::new();
            GzDecoder::new(&member[..]).read_to_end(&mut text).unwrap();
            assert!(text == [&noisy[..], b"end"].concat(), "{length}");
        }
    }
}
