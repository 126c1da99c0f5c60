//! The web configuration file as it stands on disk: read at the start, and again when it or a file
//! that it names has changed.

use std::fs::{self, File};
use std::io::{self, Read as _};
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

/// The largest file that is read, certificates of authorities included; ten thousand users take less than one.
const MAX_FILE_BYTES: u64 = 8 * 1_024 * 1_024;

/// A web configuration file in use.
#[derive(Debug)]
pub struct WebFile {
    path: PathBuf,
    interval: Duration,
    loaded: Arc<RwLock<Arc<Loaded>>>,
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

/// A version that was read, is good and can be taken over.
#[derive(Debug)]
pub struct WebVersion {
    seen: Vec<Seen>,
    loaded: Loaded,
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
            loaded: Arc::new(RwLock::new(Arc::new(loaded?))),
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

    /// Reads the files anew for a reload, whether or not they seem to have changed. Blocks on the file system.
    ///
    /// # Errors
    /// Every problem, each with file and key.
    pub fn read(&self) -> Result<WebVersion, Vec<String>> {
        let (seen, loaded) = load(&self.path);
        let loaded = loaded.map_err(|error| error.problems)?;
        applicable(&loaded, self.is_tls(), &self.path)?;
        Ok(WebVersion { seen, loaded })
    }

    /// Makes a version the one that holds.
    pub fn take_over(&self, version: WebVersion) {
        take(&self.loaded, &self.path, version.loaded);
        // Somebody who looks right now will look once more, and find what is in force already.
        if let Ok(mut check) = self.check.try_lock() {
            check.seen = version.seen;
        }
    }

    /// The version that holds now. Looks at the files if that was not done lately; who comes while
    /// somebody else looks gets the version from before.
    pub(super) async fn current(&self) -> Arc<Loaded> {
        if let Ok(mut check) = Arc::clone(&self.check).try_lock_owned()
            && check.last.elapsed() >= self.interval
        {
            check.last = Instant::now();
            let (path, current) = (self.path.clone(), Arc::clone(&self.loaded));
            // The lock moves along: a look that hangs keeps others from starting one more. What it finds
            // takes effect there, so that it is not lost when whoever began it has left meanwhile.
            let look = tokio::task::spawn_blocking(move || {
                if look(&check.seen) != check.seen {
                    let (seen, loaded) = load(&path);
                    check.seen = seen;
                    replace(&current, &path, loaded);
                }
            });
            let _ = tokio::time::timeout(CHECK_PATIENCE, look).await;
        }
        self.loaded()
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes over a new version, unless it is broken or cannot be applied.
fn replace(current: &RwLock<Arc<Loaded>>, path: &Path, loaded: Result<Loaded, WebConfigError>) {
    let is_tls = current
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .tls
        .is_some();
    let loaded = loaded.map_err(|error| error.problems);
    let applicable = loaded.and_then(|loaded| applicable(&loaded, is_tls, path).map(|()| loaded));
    match applicable {
        Ok(loaded) => take(current, path, loaded),
        Err(problems) => {
            let (file, problems) = (path.display(), problems.join("; "));
            tracing::error!(%file, %problems, "web configuration not applied, the previous one stays");
        }
    }
}

/// Whether a good version can take the place of one with or without TLS.
fn applicable(loaded: &Loaded, is_tls: bool, path: &Path) -> Result<(), Vec<String>> {
    if loaded.tls.is_some() == is_tls {
        return Ok(());
    }
    let (switched, undo) = if is_tls {
        ("off", "put it back")
    } else {
        ("on", "take it out")
    };
    Err(vec![format!(
        "{}: tls_server_config: TLS is switched {switched}, which takes a restart; restart the exporter, or {undo}",
        path.display()
    )])
}

fn take(current: &RwLock<Arc<Loaded>>, path: &Path, loaded: Loaded) {
    for warning in &loaded.config.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(file = %path.display(), "web configuration read again");
    *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
}

/// Reads everything. The files are looked at before they are read, so that a change in between is
/// noticed the next time; those of a broken version are told as well, as one of them may be the cure.
fn load(path: &Path) -> (Vec<Seen>, Result<Loaded, WebConfigError>) {
    let mut seen = vec![see(path)];
    let one = |problem: String| WebConfigError {
        problems: vec![problem],
    };
    let file = path.display();
    let text = match text_of(path) {
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

/// The text of a file, if it is not too large.
pub(super) fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX_FILE_BYTES) {
        Ok(text)
    } else {
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 8 MiB",
        ))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str =
        "basic_auth_users:\n  alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n";

    fn certificate(folder: &Path, name: &str) -> String {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        fs::write(folder.join("server.crt"), made.cert.pem()).unwrap();
        fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    }

    #[tokio::test]
    async fn a_change_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, "").unwrap();
        let file = WebFile::open_with_interval(&path, Duration::ZERO).unwrap();
        assert!(file.current().await.config.users.is_empty());

        fs::write(&path, USER).unwrap();
        assert_eq!(
            file.current().await.config.users.len(),
            1,
            "the request that sees the change already obeys it"
        );
        fs::write(&path, "basic_auth_users:\n  alice: open sesame\n").unwrap();
        assert_eq!(
            file.current().await.config.users.len(),
            1,
            "a broken version changes nothing"
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(
            file.current().await.config.users.len(),
            1,
            "nor does a missing one"
        );
        fs::write(
            &path,
            format!("{USER}  bob: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n"),
        )
        .unwrap();
        assert_eq!(file.current().await.config.users.len(), 2);

        certificate(folder.path(), "localhost");
        fs::write(
            &path,
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n",
        )
        .unwrap();
        assert_eq!(file.current().await.config.users.len(), 2, "TLS needs a restart");
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_once_key_and_certificate_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        certificate(folder.path(), "a.example");
        fs::write(
            &path,
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n",
        )
        .unwrap();
        let file = WebFile::open_with_interval(&path, Duration::ZERO).unwrap();
        let first = file.current().await.tls().unwrap();
        assert!(
            Arc::ptr_eq(&first, &file.current().await.tls().unwrap()),
            "nothing is read again without a change"
        );

        let old_key = fs::read(folder.path().join("server.key")).unwrap();
        certificate(folder.path(), "a-longer-name.example");
        let new_key = fs::read(folder.path().join("server.key")).unwrap();
        fs::write(
            folder.path().join("server.key"),
            [old_key.as_slice(), b"\n"].concat(),
        )
        .unwrap();
        assert!(
            Arc::ptr_eq(&first, &file.current().await.tls().unwrap()),
            "half a renewal is not taken"
        );
        fs::write(
            folder.path().join("server.key"),
            [new_key.as_slice(), b"\n\n"].concat(),
        )
        .unwrap();
        assert!(!Arc::ptr_eq(&first, &file.current().await.tls().unwrap()));
    }

    #[tokio::test]
    async fn a_reload_reads_whatever_was_seen_and_takes_over_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, USER).unwrap();
        // So that requests do not look.
        let file = WebFile::open_with_interval(&path, Duration::from_secs(3_600)).unwrap();
        fs::write(&path, "").unwrap();
        let version = file.read().unwrap();
        assert_eq!(file.current().await.config.users.len(), 1);
        file.take_over(version);
        assert!(file.current().await.config.users.is_empty());

        certificate(folder.path(), "localhost");
        for (text, told) in [
            (
                "basic_auth_users:\n  alice: open sesame\n",
                "web.yml: basic_auth_users.alice: this is no bcrypt hash",
            ),
            (
                "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n",
                "web.yml: tls_server_config: TLS is switched on, which takes a restart",
            ),
            (
                "tls_server_config:\n  cert_file: server.crt\n  key_file: nowhere.key\n",
                "web.yml: tls_server_config.key_file: cannot read",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let problems = file.read().unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(told), "{problems:?}");
            assert!(!problems[0].contains("sesame"), "{problems:?}");
        }
        assert!(file.current().await.config.users.is_empty());
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        assert!(WebFile::open(&path).unwrap_err().problems[0].contains("cannot be read"));
        let endless = WebFile::open(Path::new("/dev/zero")).unwrap_err();
        assert!(endless.problems[0].contains("larger than 8 MiB"), "{endless}");
        fs::write(folder.path().join("garbage"), "hunter2").unwrap();
        fs::write(&path, "tls_server_config:\n  cert_file: garbage\n  key_file: nowhere\n  client_ca_file: garbage\n  client_auth_type: RequestClientCert\n").unwrap();
        let problems = WebFile::open(&path).unwrap_err().problems;
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, expected) in problems.iter().zip(["cert_file", "key_file", "client_ca_file"]) {
            assert!(
                problem.contains(expected) && problem.contains("web.yml") && !problem.contains("hunter2"),
                "{problem}"
            );
        }
    }

    #[test]
    fn the_bucket_lets_a_burst_through_and_then_one_per_interval() {
        let limiter = Limiter::new(RateLimit {
            interval: Duration::from_secs(10),
            burst: 3,
        });
        let start = Instant::now();
        for (seconds, admitted) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (9, false),
            (10, true),
            (10, false),
            (100, true),
            (100, true),
            (100, true),
            (100, false),
        ] {
            assert_eq!(
                limiter.admits(start + Duration::from_secs(seconds)),
                admitted,
                "{seconds}"
            );
        }
    }
}
