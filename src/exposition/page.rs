//! Makes the pages that scrapers get: the domains' part once for all of them, the exporter's own
//! part for each.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use crc32fast::Hasher;
use flate2::Compression;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::exposition::gzip::Deflater;
use crate::exposition::{Format, SelfMetrics, render_domains};
use crate::store::Store;

/// How hard the domains' part is compressed: 10,000 domains (9.1 MB) become 702 kB in 9 ms. Level 1
/// makes 1,010 kB of them in 7 ms, level 4 643 kB in 21 ms, level 6 639 kB in 44 ms.
const HEAD_LEVEL: Compression = Compression::new(2);

/// How hard the exporter's own part is compressed, once for each scrape.
const TAIL_LEVEL: Compression = Compression::new(1);

/// Plain text held at a time while compressing, in bytes.
const CHUNK: usize = 64 * 1024;

/// From so many domains on, a scrape may get a rendering that is a little older than the newest
/// poll. With fewer, rendering takes at most a few milliseconds and every scrape gets the newest.
const MANY_DOMAINS: usize = 1_000;

/// A rendering of many domains is used for so many times as long as it took, which bounds the
/// share of a core that rendering can take (1/20) however often polls end and scrapers come …
const REUSE: u32 = 20;

/// … but no longer than this, and for the same time again while the next one is being made.
const REUSE_AT_MOST: Duration = Duration::from_secs(2);

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

/// Why there is no page. Neither cause is known to occur: it is a defect of the exporter.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the metrics could not be rendered: {0}; please report this with the log around it")]
pub struct PageError(Arc<str>);

impl PageError {
    fn new(cause: &dyn std::fmt::Display) -> Self {
        Self(cause.to_string().into())
    }
}

/// What the web server asks for pages.
pub struct Exposition {
    store: Arc<Store>,
    versions: watch::Receiver<u64>,
    self_metrics: Arc<SelfMetrics>,
    clock: Clock,
    slots: Mutex<[Slot; 4]>,
    renderings: Arc<AtomicU64>,
}

/// The renderings in one format and encoding.
#[derive(Default)]
struct Slot {
    ready: Option<Arc<Rendered>>,
    /// At most one at a time. It goes on by itself when the scrape that began it is cancelled.
    under_way: Option<Rendering>,
}

type Rendering = Shared<BoxFuture<'static, Result<Arc<Rendered>, PageError>>>;

/// The domains' part of a page.
struct Rendered {
    version: u64,
    /// It is true in `from..until`, also when the clock steps back.
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    bytes: Bytes,
    /// Of the plain text; used for gzip only.
    checksum: Hasher,
    /// For how long it may be used although a newer snapshot exists.
    reuse: Duration,
    finished: Instant,
}

impl Rendered {
    fn is_true_at(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    fn standing(&self, wanted: u64) -> Standing {
        Standing::of(self.version >= wanted, self.finished.elapsed(), self.reuse)
    }
}

/// What a rendering that is still true is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is served.
    Fresh,
    /// It is served once more while the next one is made.
    Ageing,
    /// Scrapes wait for the next one.
    Outdated,
}

impl Standing {
    /// Of a rendering of the newest snapshot, or of an older one after `age`.
    fn of(newest: bool, age: Duration, reuse: Duration) -> Self {
        if newest || age < reuse {
            Self::Fresh
        } else if age < reuse * 2 {
            Self::Ageing
        } else {
            Self::Outdated
        }
    }
}

/// How long a rendering of so many domains that took so long is used although it is not of the
/// newest snapshot.
fn reuse(domains: usize, took: Duration) -> Duration {
    if domains < MANY_DOMAINS {
        Duration::ZERO
    } else {
        took.saturating_mul(REUSE).min(REUSE_AT_MOST)
    }
}

/// What a look into a slot gives.
enum Found {
    Ready(Arc<Rendered>),
    UnderWay(Rendering),
}

impl Exposition {
    /// Pages of what the store knows and of the exporter's own metrics.
    #[must_use]
    pub fn new(store: Arc<Store>, self_metrics: Arc<SelfMetrics>, clock: Clock) -> Self {
        Self {
            versions: store.versions(),
            store,
            self_metrics,
            clock,
            slots: Mutex::default(),
            renderings: Arc::default(),
        }
    }

    /// The page as of now. Of fewer than 1,000 domains it shows every poll that ended before;
    /// of more, it may be up to 4 seconds behind.
    ///
    /// # Errors
    /// A defect of the exporter; the web server answers 500.
    pub async fn page(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
        let domains = self.domains(format, gzip).await?;
        let own = self
            .own_part(format, gzip.then_some(&domains.checksum))
            .map_err(|error| PageError::new(&error))?;
        Ok(Page {
            content_type: format.content_type(),
            content_encoding: gzip.then_some("gzip"),
            parts: vec![domains.bytes.clone(), own],
        })
    }

    /// How often the domains' part was rendered since the start, for tests and benches.
    #[must_use]
    pub fn renderings(&self) -> u64 {
        self.renderings.load(Ordering::Relaxed)
    }

    /// Some 200 lines in 0.1 ms, so they are made on the spot.
    fn own_part(&self, format: Format, head: Option<&Hasher>) -> io::Result<Bytes> {
        let mut plain = Vec::new();
        self.self_metrics.render(format, &mut plain)?;
        plain.extend_from_slice(format.end().as_bytes());
        let Some(head) = head else {
            return Ok(plain.into());
        };
        let mut deflater = Deflater::tail(TAIL_LEVEL);
        deflater.write_all(&plain)?;
        Ok(deflater.finish(head)?.into())
    }

    async fn domains(&self, format: Format, gzip: bool) -> Result<Arc<Rendered>, PageError> {
        let wanted = *self.versions.borrow();
        // Rarely more than twice: a rendering that began before this scrape may be too old, and
        // the next one is not, unless the clock passes its `until` meanwhile.
        loop {
            match self.look(format, gzip, wanted) {
                Found::Ready(rendered) => return Ok(rendered),
                Found::UnderWay(rendering) => drop(rendering.await?),
            }
        }
    }

    fn look(&self, format: Format, gzip: bool, wanted: u64) -> Found {
        let now = self.clock.now();
        let mut slots = self.lock();
        let slot = slot_mut(&mut slots, format, gzip);
        if let Some(outcome) = slot.under_way.clone().and_then(FutureExt::now_or_never) {
            slot.under_way = None;
            slot.ready = outcome.ok().or(slot.ready.take());
        }
        let ready = slot.ready.clone().filter(|rendered| rendered.is_true_at(now));
        if let Some(ready) = ready {
            match ready.standing(wanted) {
                Standing::Fresh => return Found::Ready(ready),
                Standing::Ageing => {
                    drop(self.begin(slot, format, gzip));
                    return Found::Ready(ready);
                }
                Standing::Outdated => {}
            }
        }
        let rendering = self.begin(slot, format, gzip);
        // What nobody can be served any more would only take memory.
        for slot in slots.iter_mut() {
            slot.ready.take_if(|rendered| rendered.version < wanted);
        }
        Found::UnderWay(rendering)
    }

    /// Joins the rendering that is under way, or begins one on a thread for such work.
    fn begin(&self, slot: &mut Slot, format: Format, gzip: bool) -> Rendering {
        let (store, clock) = (Arc::clone(&self.store), self.clock.clone());
        let renderings = Arc::clone(&self.renderings);
        slot.under_way
            .get_or_insert_with(|| {
                let task = tokio::task::spawn_blocking(move || {
                    renderings.fetch_add(1, Ordering::Relaxed);
                    render(&store, &clock, format, gzip)
                });
                async move {
                    match task.await {
                        Ok(Ok(rendered)) => Ok(Arc::new(rendered)),
                        Ok(Err(error)) => Err(PageError::new(&error)),
                        Err(error) => Err(PageError::new(&error)),
                    }
                }
                .boxed()
                .shared()
            })
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, [Slot; 4]> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot_mut(slots: &mut [Slot; 4], format: Format, gzip: bool) -> &mut Slot {
    let [text, text_gzip, open, open_gzip] = slots;
    match (format, gzip) {
        (Format::Text, false) => text,
        (Format::Text, true) => text_gzip,
        (Format::OpenMetrics, false) => open,
        (Format::OpenMetrics, true) => open_gzip,
    }
}

fn render(store: &Store, clock: &Clock, format: Format, gzip: bool) -> io::Result<Rendered> {
    let started = Instant::now();
    let snapshot = store.snapshot();
    let from = clock.now();
    let (until, bytes, checksum) = if gzip {
        let mut out = BufWriter::with_capacity(CHUNK, Deflater::head(HEAD_LEVEL));
        let until = render_domains(&snapshot, from, format, &mut out)?;
        let part = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .pause()?;
        (until, part.bytes, part.checksum)
    } else {
        let mut out = Vec::new();
        let until = render_domains(&snapshot, from, format, &mut out)?;
        out.shrink_to_fit();
        (until, out, Hasher::new())
    };
    Ok(Rendered {
        version: snapshot.version,
        from,
        until,
        bytes: bytes.into(),
        checksum,
        reuse: reuse(snapshot.entries.len(), started.elapsed()),
        finished: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_domains_are_rendered_for_a_twentieth_of_the_time_at_most() {
        let millis = Duration::from_millis;
        for (domains, took, expected) in [
            (999, 500, 0),
            (1_000, 2, 40),
            (10_000, 25, 500),
            (100_000, 300, 2_000),
        ] {
            assert_eq!(reuse(domains, millis(took)), millis(expected), "{domains}");
        }
        for (newest, age, reuse, standing) in [
            (true, 0, 0, Standing::Fresh),
            (true, 9_999, 40, Standing::Fresh),
            (false, 0, 0, Standing::Outdated),
            (false, 39, 40, Standing::Fresh),
            (false, 40, 40, Standing::Ageing),
            (false, 79, 40, Standing::Ageing),
            (false, 80, 40, Standing::Outdated),
        ] {
            assert_eq!(
                Standing::of(newest, millis(age), millis(reuse)),
                standing,
                "{age}"
            );
        }
    }
}
