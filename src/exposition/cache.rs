//! Renderings that all scrapers share: made at most once for each snapshot, on a thread for such
//! work, and used while they are true.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use crc32fast::Hasher;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::exposition::Format;

/// A rendering may be used for so many times as long as it took, which bounds the share of a core
/// that rendering can take (1/20) however often polls end and scrapers come …
const REUSE: u32 = 20;

/// … but no longer than this, and for the same time again while the next one is being made.
const REUSE_AT_MOST: Duration = Duration::from_secs(2);

/// Why there is no page. Neither cause is known to occur: it is a defect of the exporter.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the metrics could not be rendered: {0}; please report this with the log around it")]
pub struct PageError(Arc<str>);

impl PageError {
    pub(super) fn new(cause: &dyn std::fmt::Display) -> Self {
        Self(cause.to_string().into())
    }
}

/// What is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// The domains' part of `/metrics`.
    Domains,
    /// All of `/windows`.
    Windows,
}

/// What is rendered, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) subject: Subject,
    pub(super) format: Format,
    pub(super) gzip: bool,
}

/// One rendering.
pub(super) struct Rendered {
    /// Of the snapshot.
    pub(super) version: u64,
    /// It is true in `from..until`, also when the clock steps back.
    pub(super) from: DateTime<Utc>,
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) parts: Vec<Bytes>,
    /// Of the plain text; used for gzip only.
    pub(super) checksum: Hasher,
    /// For how long it may be used although a newer snapshot exists.
    pub(super) reuse: Duration,
    pub(super) finished: Instant,
}

impl Rendered {
    fn is_true_at(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    fn standing(&self, wanted: u64) -> Standing {
        Standing::of(self.version >= wanted, self.finished.elapsed(), self.reuse)
    }
}

/// For how long a rendering that took so long may be used although it is not of the newest snapshot.
pub(super) fn reuse(took: Duration) -> Duration {
    took.saturating_mul(REUSE).min(REUSE_AT_MOST)
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

/// The renderings of one key.
#[derive(Default)]
struct Slot {
    ready: Option<Arc<Rendered>>,
    /// At most one at a time. It goes on by itself when the scrape that began it is cancelled.
    under_way: Option<Rendering>,
}

type Rendering = Shared<BoxFuture<'static, Result<Arc<Rendered>, PageError>>>;

/// What a look into a slot gives.
enum Found {
    Ready(Arc<Rendered>),
    UnderWay(Rendering),
}

/// Makes and keeps renderings.
pub(super) struct Cache {
    render: Arc<dyn Fn(Key) -> io::Result<Rendered> + Send + Sync>,
    clock: Clock,
    slots: Mutex<HashMap<Key, Slot>>,
    renderings: Arc<AtomicU64>,
}

impl Cache {
    /// A cache of what `render` makes of the newest snapshot. It is called on a blocking thread.
    pub(super) fn new(
        clock: Clock,
        render: impl Fn(Key) -> io::Result<Rendered> + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Arc::new(render),
            clock,
            slots: Mutex::default(),
            renderings: Arc::default(),
        }
    }

    /// How often something was rendered since the start.
    pub(super) fn renderings(&self) -> u64 {
        self.renderings.load(Ordering::Relaxed)
    }

    /// A rendering that is true now and of the snapshot `wanted` or a later one, or of an earlier
    /// one within its time of reuse.
    pub(super) async fn get(&self, key: Key, wanted: u64) -> Result<Arc<Rendered>, PageError> {
        // Rarely more than twice: a rendering that began before this scrape may be too old, and
        // the next one is not, unless the clock passes its `until` meanwhile.
        loop {
            match self.look(key, wanted) {
                Found::Ready(rendered) => return Ok(rendered),
                Found::UnderWay(rendering) => drop(rendering.await?),
            }
        }
    }

    fn look(&self, key: Key, wanted: u64) -> Found {
        let now = self.clock.now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(key).or_default();
        if let Some(outcome) = slot.under_way.clone().and_then(FutureExt::now_or_never) {
            slot.under_way = None;
            slot.ready = outcome.ok().or(slot.ready.take());
        }
        let ready = slot.ready.clone().filter(|rendered| rendered.is_true_at(now));
        if let Some(ready) = ready {
            match ready.standing(wanted) {
                Standing::Fresh => return Found::Ready(ready),
                Standing::Ageing => {
                    drop(self.begin(slot, key));
                    return Found::Ready(ready);
                }
                Standing::Outdated => {}
            }
        }
        let rendering = self.begin(slot, key);
        // What nobody can be served any more would only take memory.
        for slot in slots.values_mut() {
            slot.ready.take_if(|rendered| rendered.version < wanted);
        }
        Found::UnderWay(rendering)
    }

    /// Joins the rendering that is under way, or begins one on a thread for such work.
    fn begin(&self, slot: &mut Slot, key: Key) -> Rendering {
        let render = Arc::clone(&self.render);
        let renderings = Arc::clone(&self.renderings);
        slot.under_way
            .get_or_insert_with(|| {
                let task = tokio::task::spawn_blocking(move || {
                    renderings.fetch_add(1, Ordering::Relaxed);
                    render(key)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendering_is_used_for_a_while_and_once_more() {
        let millis = Duration::from_millis;
        for (took, expected) in [(2, 40), (25, 500), (300, 2_000)] {
            assert_eq!(reuse(millis(took)), millis(expected), "{took}");
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
