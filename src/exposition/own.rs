//! The exporter's own part of a page: what all scrapes share while nothing has happened in between.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use tokio::time::Instant;

use crate::exposition::gzip::Deflater;
use crate::exposition::{Format, SelfMetrics};

/// How hard it is compressed: some 200 lines.
const LEVEL: Compression = Compression::new(1);

/// For so long the process's own metrics may be told again. They change without an event, and reading
/// them takes a fifth of a scrape of 10,000 domains; nobody scrapes one exporter that often but when
/// several servers happen to do it at once.
const PROCESS_REUSE: Duration = Duration::from_millis(100);

/// The last part of a body: all that is not about domains, and the end of the text.
pub(super) struct OwnPart {
    /// As it is sent; of a compressed one the trailer is missing, which covers the whole body.
    pub(super) bytes: Bytes,
    /// Of the plain text; used for gzip only.
    pub(super) checksum: Hasher,
    /// See [`SelfMetrics::changes`].
    changes: u64,
    made: Instant,
}

impl OwnPart {
    fn make(self_metrics: &SelfMetrics, format: Format, gzip: bool) -> io::Result<Self> {
        // Before the first of them is read, so that what happens meanwhile makes the part outdated.
        let changes = self_metrics.changes();
        let mut text = Vec::new();
        self_metrics.render(format, &mut text)?;
        text.extend_from_slice(format.end().as_bytes());
        let (bytes, checksum) = if gzip {
            let mut deflater = Deflater::tail(LEVEL);
            deflater.write_all(&text)?;
            let part = deflater.finish()?;
            (part.bytes, part.checksum)
        } else {
            (text, Hasher::new())
        };
        Ok(Self {
            bytes: bytes.into(),
            checksum,
            changes,
            made: Instant::now(),
        })
    }

    fn is_good(&self, changes: u64) -> bool {
        self.changes == changes && self.made.elapsed() < PROCESS_REUSE
    }
}

/// Makes and keeps the own part in each of its forms.
pub(super) struct OwnParts {
    self_metrics: Arc<SelfMetrics>,
    kept: Mutex<[Option<Arc<OwnPart>>; Format::ALL.len() * 2]>,
}

impl OwnParts {
    pub(super) fn new(self_metrics: Arc<SelfMetrics>) -> Self {
        Self {
            self_metrics,
            kept: Mutex::default(),
        }
    }

    /// The part as of now: it shows everything that the observer was told before. Made on the spot
    /// where that is needed, in 0.1 ms.
    pub(super) fn get(&self, format: Format, gzip: bool) -> io::Result<Arc<OwnPart>> {
        let place = format.index() * 2 + usize::from(gzip);
        let changes = self.self_metrics.changes();
        let kept = self.lock().get(place).cloned().flatten();
        if let Some(kept) = kept.filter(|part| part.is_good(changes)) {
            return Ok(kept);
        }
        let part = Arc::new(OwnPart::make(&self.self_metrics, format, gzip)?);
        if let Some(kept) = self.lock().get_mut(place) {
            *kept = Some(Arc::clone(&part));
        }
        Ok(part)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Option<Arc<OwnPart>>; Format::ALL.len() * 2]> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
