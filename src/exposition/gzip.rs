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

/// A compressed part and the checksum (and length) of its plain text.
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

    /// Ends the member that began with a part of this checksum.
    pub(super) fn finish(mut self, head: &Hasher) -> io::Result<Vec<u8>> {
        loop {
            self.out.reserve(GROWTH);
            let status = self
                .deflate
                .compress_vec(&[], &mut self.out, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut whole = head.clone();
        whole.combine(&self.checksum);
        // The length is given modulo 2^32.
        let length = head
            .total_len()
            .wrapping_add(self.checksum.total_len())
            .to_le_bytes();
        self.out.extend_from_slice(&whole.finalize().to_le_bytes());
        self.out.extend(length.into_iter().take(4));
        Ok(self.out)
    }
}

impl Write for Deflater {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.out.reserve(GROWTH);
        let before = self.deflate.total_in();
        self.deflate
            .compress_vec(plain, &mut self.out, FlushCompress::None)?;
        let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(plain.len());
        let taken = plain.get(..taken).unwrap_or(plain);
        self.checksum.update(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
