//! Makes the pages that scrapers get: `/metrics` from the domains' part, once for all of them, and
//! the exporter's own part as of each; `/windows` whole.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::exposition::cache::{Cache, Key, Rendered, Subject, reuse};
use crate::exposition::gzip::{Deflater, trailer};
use crate::exposition::own::OwnParts;
use crate::exposition::{Format, PageError, SelfMetrics, WindowsText, render_domains};
use crate::store::Store;

/// How hard a shared part is compressed: 10,000 domains (9.1 MB) become 702 kB in 9 ms. Level 1
/// makes 1,010 kB of them in 7 ms, level 4 643 kB in 21 ms, level 6 639 kB in 44 ms. A day of
/// `/windows` of 1,000 domains (152 MB) becomes 12.8 MB in 0.36 s, of which 0.06 s are the text.
const HEAD_LEVEL: Compression = Compression::new(2);

/// Plain text held at a time while compressing, in bytes.
const CHUNK: usize = 64 * 1024;

/// Compressed pages are kept in pieces of at least this size, in bytes, and little more: a growing
/// buffer would take twice its size whenever it moves.
const PIECE: usize = 256 * 1024;

/// From so many domains on, a scrape may get a rendering that is a little older than the newest
/// poll. With fewer, rendering takes at most a few milliseconds and every scrape gets the newest.
const MANY_DOMAINS: usize = 1_000;

/// A last part of no text: one final block, with fixed codes, that holds only its own end (RFC 1951,
/// section 3.2.6).
const EMPTY: [u8; 2] = [3, 0];

/// The body of one scrape.
#[derive(Clone, Debug)]
pub struct Page {
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// The `Content-Encoding` header, if any.
    pub content_encoding: Option<&'static str>,
    /// The bytes, to be sent one after the other.
    pub parts: Vec<Bytes>,
}

impl Page {
    /// The `Content-Length` header.
    #[must_use]
    pub fn length(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

/// The body of one scrape of `/windows`.
#[derive(Clone, Debug)]
pub enum WindowsPage {
    /// Compressed: a tenth of the text, so it is kept and shared by all scrapers.
    Whole(Page),
    /// Plain: made while it is sent, each time.
    Pieces {
        /// The `Content-Type` header.
        content_type: &'static str,
        /// The text.
        text: WindowsText,
    },
}

/// What the web server asks for pages.
pub struct Exposition {
    store: Arc<Store>,
    versions: watch::Receiver<u64>,
    own: OwnParts,
    clock: Clock,
    cache: Cache,
}

impl Exposition {
    /// Pages of what the store knows and of the exporter's own metrics.
    #[must_use]
    pub fn new(store: Arc<Store>, self_metrics: Arc<SelfMetrics>, clock: Clock) -> Self {
        let cache = {
            let (store, now) = (Arc::clone(&store), clock.clone());
            Cache::new(clock.clone(), move |key| render(&store, &now, key))
        };
        Self {
            versions: store.versions(),
            store,
            own: OwnParts::new(self_metrics),
            clock,
            cache,
        }
    }

    /// The page as of now. Of fewer than 1,000 domains it shows every poll that ended before;
    /// of more, it may be up to 4 seconds behind.
    ///
    /// # Errors
    /// A defect of the exporter; the web server answers 500.
    pub async fn page(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
        let domains = self.rendered(Subject::Domains, format, gzip).await?;
        let own = self
            .own
            .get(format, gzip)
            .map_err(|error| PageError::new(&error))?;
        Ok(page(format, &domains, own.bytes.clone(), &own.checksum, gzip))
    }

    /// Every settled window as of now; the compressed page may be up to 4 seconds behind.
    ///
    /// # Errors
    /// As [`Exposition::page`].
    pub async fn windows(&self, format: Format, gzip: bool) -> Result<WindowsPage, PageError> {
        if gzip {
            let windows = self.rendered(Subject::Windows, format, gzip).await?;
            let nothing = Bytes::from_static(&EMPTY);
            let page = page(format, &windows, nothing, &Hasher::new(), gzip);
            return Ok(WindowsPage::Whole(page));
        }
        Ok(WindowsPage::Pieces {
            content_type: format.content_type(),
            text: WindowsText::new(self.store.snapshot(), self.clock.now(), format),
        })
    }

    /// How often a shared part was rendered since the start, for tests and benches.
    #[must_use]
    pub fn renderings(&self) -> u64 {
        self.cache.renderings()
    }

    async fn rendered(
        &self,
        subject: Subject,
        format: Format,
        gzip: bool,
    ) -> Result<Arc<Rendered>, PageError> {
        let wanted = *self.versions.borrow();
        let key = Key {
            subject,
            format,
            gzip,
        };
        self.cache.get(key, wanted).await
    }
}

/// A part that all scrapers share, what follows it, and the trailer that covers both.
fn page(format: Format, head: &Rendered, tail: Bytes, tail_checksum: &Hasher, gzip: bool) -> Page {
    let mut parts = Vec::with_capacity(head.parts.len() + 2);
    parts.extend_from_slice(&head.parts);
    parts.push(tail);
    if gzip {
        parts.push(Bytes::copy_from_slice(&trailer(&head.checksum, tail_checksum)));
    }
    Page {
        content_type: format.content_type(),
        content_encoding: gzip.then_some("gzip"),
        parts,
    }
}

fn render(store: &Store, clock: &Clock, key: Key) -> io::Result<Rendered> {
    let started = Instant::now();
    let snapshot = store.snapshot();
    let from = clock.now();
    let mut out = Parts::new(key.gzip);
    let until = match key.subject {
        Subject::Domains => render_domains(&snapshot, from, key.format, &mut out)?,
        Subject::Windows => {
            let mut text = WindowsText::new(Arc::clone(&snapshot), from, key.format);
            let mut piece = Vec::new();
            while text.write_piece(&mut piece) {
                out.write_all(&piece)?;
                piece.clear();
            }
            WindowsText::next_change(&snapshot, from)
        }
    };
    let (parts, checksum) = out.finish()?;
    let took = started.elapsed();
    // However few the domains are, /windows is about the past.
    let many = key.subject == Subject::Windows || snapshot.entries.len() >= MANY_DOMAINS;
    Ok(Rendered {
        version: snapshot.version,
        from,
        until,
        parts,
        checksum,
        reuse: if many { reuse(took) } else { Duration::ZERO },
        finished: Instant::now(),
    })
}

/// Takes plain text and keeps it as it will be sent.
enum Parts {
    Plain(Vec<u8>),
    Gzip {
        /// Text that has not been compressed yet; the compressor is called once a chunk.
        chunk: Vec<u8>,
        deflater: Box<Deflater>,
        parts: Vec<Bytes>,
    },
}

impl Parts {
    fn new(gzip: bool) -> Self {
        if !gzip {
            return Self::Plain(Vec::new());
        }
        Self::Gzip {
            chunk: Vec::with_capacity(CHUNK),
            deflater: Box::new(Deflater::head(HEAD_LEVEL)),
            parts: Vec::new(),
        }
    }

    /// The parts, and the checksum of their plain text if they are compressed.
    fn finish(mut self) -> io::Result<(Vec<Bytes>, Hasher)> {
        self.flush()?;
        match self {
            Self::Plain(mut text) => {
                text.shrink_to_fit();
                Ok((vec![text.into()], Hasher::new()))
            }
            Self::Gzip {
                deflater, mut parts, ..
            } => {
                let last = deflater.pause()?;
                parts.push(last.bytes.into());
                Ok((parts, last.checksum))
            }
        }
    }
}

impl Write for Parts {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(text) => text.extend_from_slice(plain),
            Self::Gzip { chunk, .. } => {
                chunk.extend_from_slice(plain);
                if chunk.len() >= CHUNK {
                    self.flush()?;
                }
            }
        }
        Ok(plain.len())
    }

    /// Compresses what there is.
    fn flush(&mut self) -> io::Result<()> {
        if let Self::Gzip {
            chunk,
            deflater,
            parts,
        } = self
        {
            deflater.write_all(chunk)?;
            chunk.clear();
            parts.extend(deflater.take_from(PIECE).map(Bytes::from));
        }
        Ok(())
    }
}
