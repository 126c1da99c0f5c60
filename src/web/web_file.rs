//! The web configuration file as it stands on disk: read at the start, and again when it or a file
//! that it names has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::time::Instant;

use super::web_config::RateLimit;
use super::{WebConfig, WebConfigError};

/// The files are looked at no more often than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A request waits no longer than this for a look at the files; a hanging file system must not stop scrapes.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);

/// A web configuration file in use.
#[derive(Debug)]
pub struct WebFile {
    path: PathBuf,
    interval: Duration,
    loaded: RwLock<Arc<Loaded>>,
    /// Held while somebody looks; the others go on with what is there.
    check: Arc<tokio::sync::Mutex<Check>>,
}

#[derive(Debug)]
struct Check {
    last: Instant,
    seen: Vec<Seen>,
}

/// A file and what tells one version from the next; `None` if it cannot be looked at.
type Seen = (PathBuf, Option<(Option<SystemTime>, u64)>);

/// One version of the configuration, ready to use.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: WebConfig,
    tls: Option<Arc<ServerConfig>>,
    limiter: Option<Limiter>,
}

impl Loaded {
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    /// Whether the rate limit has room for one more request.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.limiter.as_ref().is_none_or(|limiter| limiter.admits(now))
    }
}

impl WebFile {
    /// Reads and checks the file and those it names. Blocks on the file system, so it belongs before
    /// the serving starts.
    ///
    /// # Errors
    /// Every problem, each with file and key.
    pub fn open(path: &Path) -> Result<Self, WebConfigError> {
        Self::open_with_interval(path, CHECK_INTERVAL)
    }

    fn open_with_interval(path: &Path, interval: Duration) -> Result<Self, WebConfigError> {
        let (seen, loaded) = load(path);
        Ok(Self {
            path: path.to_owned(),
            interval,
            loaded: RwLock::new(Arc::new(loaded?)),
            check: Arc::new(tokio::sync::Mutex::new(Check {
                last: Instant::now(),
                seen,
            })),
        })
    }

    /// What is accepted but does less than its words say, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.loaded().config.warnings.clone()
    }

    /// Whether TLS is spoken; this cannot change while the process runs.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.loaded().tls.is_some()
    }

    /// The version that holds now. Looks at the files if that was not done lately; who comes while
    /// somebody else looks gets the version from before.
    pub(super) async fn current(&self) -> Arc<Loaded> {
        if let Ok(mut check) = Arc::clone(&self.check).try_lock_owned()
            && check.last.elapsed() >= self.interval
        {
            check.last = Instant::now();
            let path = self.path.clone();
            // The lock moves along: a look that hangs keeps others from starting one more.
            let look = tokio::task::spawn_blocking(move || {
                if look(&check.seen) == check.seen {
                    return None;
                }
                let (seen, loaded) = load(&path);
                check.seen = seen;
                Some(loaded)
            });
            if let Ok(Ok(Some(loaded))) = tokio::time::timeout(CHECK_PATIENCE, look).await {
                self.replace(loaded);
            }
        }
        self.loaded()
    }

    fn replace(&self, loaded: Result<Loaded, WebConfigError>) {
        let file = self.path.display();
        match loaded {
            Ok(loaded) if loaded.tls.is_some() != self.is_tls() => {
                tracing::error!(%file, "web configuration not applied: TLS is switched on or off by a restart only");
            }
            Ok(loaded) => {
                for warning in &loaded.config.warnings {
                    tracing::warn!("{warning}");
                }
                tracing::info!(%file, "web configuration read again");
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
            }
            Err(error) => {
                let problems = error.problems.join("; ");
                tracing::error!(%file, %problems, "web configuration not applied, the previous one stays");
            }
        }
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads everything. The files are looked at before they are read, so that a change in between is
/// noticed the next time; those of a broken version are told as well, as one of them may be the cure.
fn load(path: &Path) -> (Vec<Seen>, Result<Loaded, WebConfigError>) {
    let mut seen = vec![see(path)];
    let one = |problem: String| WebConfigError {
        problems: vec![problem],
    };
    let file = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return (
                seen,
                Err(one(format!(
                    "{file}: cannot be read: {error}; check path and permissions"
                ))),
            );
        }
    };
    let config = match WebConfig::parse(path, &text) {
        Ok(config) => config,
        Err(error) => return (seen, Err(error)),
    };
    seen.extend(config.files().map(see));
    let tls = match config.tls.as_ref().map(super::tls::TlsSettings::load).transpose() {
        Ok(tls) => tls.map(Arc::new),
        Err(problems) => {
            let problems = problems
                .into_iter()
                .map(|problem| format!("{file}: {problem}"))
                .collect();
            return (seen, Err(WebConfigError { problems }));
        }
    };
    let limiter = config.rate_limit.map(Limiter::new);
    (seen, Ok(Loaded { config, tls, limiter }))
}

fn look(seen: &[Seen]) -> Vec<Seen> {
    seen.iter().map(|(path, _)| see(path)).collect()
}

fn see(path: &Path) -> Seen {
    let version = fs::metadata(path)
        .ok()
        .map(|metadata| (metadata.modified().ok(), metadata.len()));
    (path.to_owned(), version)
}

/// A token bucket, kept as the time at which it will be full again.
#[derive(Debug)]
struct Limiter {
    limit: RateLimit,
    full_at: Mutex<Option<Instant>>,
}

impl Limiter {
    const fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            full_at: Mutex::new(None),
        }
    }

    fn admits(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = full_at.map_or(now, |full_at| full_at.max(now));
        // Tokens missing, counted in time: room is left while at most all but one are out.
        let spare = self
            .limit
            .interval
            .saturating_mul(self.limit.burst.saturating_sub(1));
        let admitted = from.saturating_duration_since(now) <= spare;
        if admitted {
            *full_at = from.checked_add(self.limit.interval);
        }
        admitted
    }
}
