//! The web configuration file as it stands on disk: read at the start, and again when it or a file
//! that it names has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::tls::{Tls, TlsSettings};
use super::web_config::RateLimit;
use super::{WebConfig, WebConfigError};
use crate::config::{Unreadable, text_of};

/// The files are looked at no more often than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A request waits no longer than this for a look at the files; a hanging file system must not stop scrapes.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);

/// The largest file that is read, certificates of authorities included; ten thousand users take less than one.
pub(super) const MAX_FILE_MEBIBYTES: u64 = 8;

/// What names the file.
const FLAG: &str = "--web.config.file";

/// A web configuration file in use.
#[derive(Debug)]
pub struct WebFile {
    path: PathBuf,
    interval: Duration,
    /// Never held while files are read.
    held: Arc<Mutex<Held>>,
    /// When somebody last looked. Held while somebody looks; the others go on with what is there.
    check: Arc<tokio::sync::Mutex<Instant>>,
}

/// What is in force, and what is known of the files. Requests and reloads read them beside each other and end in any
/// order, so readings are numbered when they begin: none takes the place of a later one.
#[derive(Debug)]
struct Held {
    /// How many readings have begun.
    begun: u64,
    loaded: Arc<Loaded>,
    /// The reading that `loaded` is of.
    loaded_by: u64,
    /// The files before the reading that ended last, even if what it found was not taken over. Of an earlier one than
    /// `loaded` it only costs a reading more.
    seen: Vec<Seen>,
}

/// A file and what tells one version from the next; `None` if it cannot be looked at.
type Seen = (PathBuf, Option<(Option<SystemTime>, u64)>);

/// One version of the configuration, ready to use.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What `config` was read from.
    text: SecretString,
    pub(super) config: WebConfig,
    tls: Option<Arc<Tls>>,
    limiter: Option<Arc<Limiter>>,
}

impl Loaded {
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.server))
    }

    /// Whether the rate limit has room for one more request.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.limiter.as_ref().is_none_or(|limiter| limiter.admits(now))
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret() && self.tls == other.tls
    }

    /// With all of the version before that is as before: how much room the rate limit has, and the TLS sessions that
    /// clients can resume.
    fn keeping(mut self, before: &Self) -> Self {
        if self.config.rate_limit == before.config.rate_limit {
            self.limiter.clone_from(&before.limiter);
        }
        if self.tls == before.tls {
            self.tls.clone_from(&before.tls);
        }
        self
    }
}

/// A version that was read, is good and can be taken over.
#[derive(Debug)]
pub struct WebVersion {
    number: u64,
    seen: Vec<Seen>,
    loaded: Loaded,
}

impl Held {
    /// The number of a reading that begins now.
    const fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Makes a version the one that holds, unless that of a later reading does. Gives its warnings that are new, or
    /// `None` if it says what held before.
    fn take(&mut self, version: WebVersion) -> Option<Vec<String>> {
        if version.number < self.loaded_by {
            return None;
        }
        self.loaded_by = version.number;
        self.seen = version.seen;
        if version.loaded.says_the_same_as(&self.loaded) {
            return None;
        }
        let before = &self.loaded.config.warnings;
        let mut warnings = version.loaded.config.warnings.clone();
        warnings.retain(|warning| !before.contains(warning));
        self.loaded = Arc::new(version.loaded.keeping(&self.loaded));
        Some(warnings)
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
        let held = Held {
            begun: 0,
            loaded: Arc::new(loaded?),
            loaded_by: 0,
            seen,
        };
        Ok(Self {
            path: path.to_owned(),
            interval,
            held: Arc::new(Mutex::new(held)),
            check: Arc::new(tokio::sync::Mutex::new(Instant::now())),
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
        let number = lock(&self.held).begin();
        let (seen, loaded) = load(&self.path);
        let loaded = loaded.map_err(|error| error.problems)?;
        applicable(&loaded, self.is_tls(), &self.path)?;
        Ok(WebVersion { number, seen, loaded })
    }

    /// Makes a version the one that holds, unless a later one does by now.
    pub fn take_over(&self, version: WebVersion) {
        take(&self.held, &self.path, version);
    }

    /// The version that holds now. Looks at the files if that was not done lately; who comes while
    /// somebody else looks gets the version from before.
    pub(super) async fn current(&self) -> Arc<Loaded> {
        if let Ok(mut last) = Arc::clone(&self.check).try_lock_owned()
            && last.elapsed() >= self.interval
        {
            *last = Instant::now();
            let (path, held) = (self.path.clone(), Arc::clone(&self.held));
            // The lock moves along: a look that hangs keeps others from starting one more. What it finds
            // takes effect there, so that it is not lost when whoever began it has left meanwhile.
            let look = tokio::task::spawn_blocking(move || {
                let _looking = last;
                look(&held, &path);
            });
            let _ = tokio::time::timeout(CHECK_PATIENCE, look).await;
        }
        self.loaded()
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&lock(&self.held).loaded)
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the files if they have changed, and takes over what they say, unless it is broken or cannot be applied.
fn look(held: &Mutex<Held>, path: &Path) {
    let seen = lock(held).seen.clone();
    if seen.iter().map(|(path, _)| see(path)).eq(seen.iter().cloned()) {
        return;
    }
    let (number, is_tls) = {
        let mut held = lock(held);
        (held.begin(), held.loaded.tls.is_some())
    };
    let (seen, loaded) = load(path);
    let loaded = loaded.map_err(|error| error.problems);
    let applicable = loaded.and_then(|loaded| applicable(&loaded, is_tls, path).map(|()| loaded));
    match applicable {
        Ok(loaded) => take(held, path, WebVersion { number, seen, loaded }),
        Err(problems) => {
            lock(held).seen = seen;
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

fn take(held: &Mutex<Held>, path: &Path, version: WebVersion) {
    let taken = lock(held).take(version);
    let Some(warnings) = taken else { return };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(file = %path.display(), "web configuration read again");
}

/// Reads everything. The files are looked at before they are read, so that a change in between is
/// noticed the next time; those of a broken version are told as well, as one of them may be the cure.
fn load(path: &Path) -> (Vec<Seen>, Result<Loaded, WebConfigError>) {
    let mut seen = vec![see(path)];
    let one = |problem: String| WebConfigError {
        problems: vec![problem],
    };
    let file = path.display();
    let text = match text_of(path, MAX_FILE_MEBIBYTES, Some(FLAG)) {
        Ok(text) => text,
        Err(unreadable) => {
            let problem = match unreadable {
                Unreadable::Missing => format!("{file}: does not exist; name the file with {FLAG}"),
                Unreadable::NotUtf8 { line } => {
                    format!("{file}: line {line}: is not UTF-8; save the file as UTF-8")
                }
                Unreadable::Other(words) => format!("{file}: {words}"),
            };
            return (seen, Err(one(problem)));
        }
    };
    let config = match WebConfig::parse(path, &text) {
        Ok(config) => config,
        Err(error) => return (seen, Err(error)),
    };
    seen.extend(config.files().map(see));
    let tls = match config.tls.as_ref().map(TlsSettings::load).transpose() {
        Ok(tls) => tls.map(Arc::new),
        Err(problems) => {
            let problems = problems
                .into_iter()
                .map(|problem| format!("{file}: {problem}"))
                .collect();
            return (seen, Err(WebConfigError { problems }));
        }
    };
    let limiter = config.rate_limit.map(|limit| Arc::new(Limiter::new(limit)));
    let loaded = Loaded {
        text: text.into(),
        config,
        tls,
        limiter,
    };
    (seen, Ok(loaded))
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
                "nowhere.key does not exist; name the file that holds it",
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
    fn a_reload_keeps_and_does_not_tell_what_is_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        certificate(folder.path(), "localhost");
        // The lowest version is worth a warning.
        let tls =
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS10\n";
        let limit = "rate_limit: {interval: 1h, burst: 2}\n";
        fs::write(&path, format!("{tls}{limit}")).unwrap();
        let file = WebFile::open(&path).unwrap();
        // What it gives is what is logged.
        let reload = || {
            let version = file.read().unwrap();
            lock(&file.held).take(version)
        };
        let now = Instant::now();
        let before = file.loaded();
        assert!(before.admits(now), "the first of two");
        assert_eq!(reload(), None);
        assert!(file.loaded().admits(now), "the second of two");
        assert_eq!(reload(), None);
        assert!(!file.loaded().admits(now), "a reload gives no request back");
        assert!(Arc::ptr_eq(&before, &file.loaded()));

        // Another part changes, and no other with it.
        fs::write(&path, format!("{tls}{limit}{USER}")).unwrap();
        assert_eq!(reload(), Some(Vec::new()), "the warning is known");
        assert_eq!(file.loaded().config.users.len(), 1);
        assert!(!file.loaded().admits(now));
        let sessions = before.tls().unwrap();
        assert!(Arc::ptr_eq(&sessions, &file.loaded().tls().unwrap()));

        // Each part that changes is another: the certificate alone, the settings of TLS, the limit.
        certificate(folder.path(), "localhost");
        assert_eq!(reload(), Some(Vec::new()));
        let renewed = file.loaded().tls().unwrap();
        assert!(!Arc::ptr_eq(&sessions, &renewed));
        assert!(!file.loaded().admits(now));
        let tls = format!("{tls}  client_auth_type: RequireAndVerifyClientCert\n");
        fs::write(&path, format!("{tls}rate_limit: {{interval: 1h, burst: 3}}\n")).unwrap();
        let told = reload().unwrap();
        assert!(
            told.len() == 1 && told[0].contains("without client_ca_file"),
            "{told:?}"
        );
        assert!(!Arc::ptr_eq(&renewed, &file.loaded().tls().unwrap()));
        assert!(file.loaded().admits(now), "another limit begins full");
    }

    /// A request's look and a reload read beside each other, and may end in any order.
    #[tokio::test]
    async fn a_reading_that_ends_late_takes_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let users = |file: &WebFile| file.loaded().config.users.len();
        let revoked = "# every password is revoked\n";

        // The reload read before the change, the look after it.
        fs::write(&path, USER).unwrap();
        let file = WebFile::open_with_interval(&path, Duration::ZERO).unwrap();
        let old = file.read().unwrap();
        fs::write(&path, revoked).unwrap();
        assert!(file.current().await.config.users.is_empty());
        file.take_over(old);
        assert_eq!(users(&file), 0);

        // The look read before the change, the reload after it.
        fs::write(&path, USER).unwrap();
        let file = WebFile::open_with_interval(&path, Duration::ZERO).unwrap();
        let slow = file.read().unwrap();
        fs::write(&path, revoked).unwrap();
        file.take_over(file.read().unwrap());
        take(&file.held, &path, slow);
        assert_eq!(users(&file), 0);
        assert!(file.current().await.config.users.is_empty());

        // One that read a good version before a broken one was seen still counts, and a later good one is noticed.
        fs::write(&path, USER).unwrap();
        let good = file.read().unwrap();
        fs::write(&path, "rate_limits: {}\n").unwrap();
        assert!(file.current().await.config.users.is_empty());
        file.take_over(good);
        assert_eq!(users(&file), 1);
        fs::write(&path, revoked).unwrap();
        assert!(file.current().await.config.users.is_empty());
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        assert!(
            WebFile::open(&path).unwrap_err().problems[0]
                .ends_with("web.yml: does not exist; name the file with --web.config.file")
        );
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

        // What editors and tools write: a byte order mark, another encoding, a certificate that is not PEM; and a folder.
        fs::write(&path, format!("\u{feff}{USER}")).unwrap();
        assert_eq!(WebFile::open(&path).unwrap().loaded().config.users.len(), 1);
        let tls = b"tls_server_config: {cert_file: der, key_file: nowhere}\n".as_slice();
        fs::write(folder.path().join("der"), b"\x30\x82\x01\x0b").unwrap();
        for (place, text, told) in [
            (
                path.as_path(),
                b"# \n# caf\xe9\n".as_slice(),
                "web.yml: line 2: is not UTF-8; save the file as UTF-8",
            ),
            (
                path.as_path(),
                tls,
                "/der is no text; it must be PEM (-----BEGIN …)",
            ),
            (
                folder.path(),
                tls,
                ": is a directory; name a file in it with --web.config.file",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let problems = WebFile::open(place).unwrap_err().problems;
            assert!(problems[0].ends_with(told), "{problems:?}");
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
