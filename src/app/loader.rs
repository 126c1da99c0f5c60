//! Loads everything that a reload loads, on a thread of its own and in bounded time. Whatever hangs hangs there, beside
//! polls, scrapes and the end of the process.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::LoadConfig;
use crate::config::{self, Config};
use crate::provider::Trust;
use crate::telemetry::chain;
use crate::web::{WebFile, WebVersion};

/// From the begin of a reload until it is refused because a file cannot be read to its end; who asks while one is under
/// way waits for two. The largest configuration takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all files say, each of them whole and good.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) trust: Trust,
    pub(super) web: Option<WebVersion>,
}

/// So many loads that were given up may hang, each on a thread. A new one may well find another file system in the
/// place of the one that hangs; no flood of reloads may use up threads.
const MAX_HANGING: usize = 8;

/// Loads the files, one time after the other.
pub(super) struct Loader {
    load_config: Arc<LoadConfig>,
    web_file: Option<Arc<WebFile>>,
    patience: Duration,
    /// What was given up and may not have ended. Nobody receives what it finds, which goes with its thread.
    hanging: Vec<JoinHandle<()>>,
}

struct UnderWay {
    reading: Reading,
    result: oneshot::Receiver<Result<Loaded, Vec<String>>>,
    thread: JoinHandle<()>,
}

/// What is being read, in the words for whoever waits for it.
#[derive(Clone)]
struct Reading(Arc<Mutex<&'static str>>);

impl Reading {
    fn new(what: &'static str) -> Self {
        Self(Arc::new(Mutex::new(what)))
    }

    fn goes_on_to(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn what(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CONFIG: &str = "the configuration, or a file that it names,";
const CERTIFICATES: &str = "a file of CA certificates (SSL_CERT_FILE, SSL_CERT_DIR or the system's)";
const WEB: &str = "the web configuration, or a file that it names,";

impl Loader {
    pub(super) fn new(load_config: Arc<LoadConfig>, web_file: Option<Arc<WebFile>>) -> Self {
        Self {
            load_config,
            web_file,
            patience: PATIENCE,
            hanging: Vec::new(),
        }
    }

    /// Reads all files as they are now.
    ///
    /// # Errors
    /// Every problem of all of them; or that they could not be read in time.
    pub(super) async fn load(&mut self) -> Result<Loaded, Vec<String>> {
        self.hanging.retain(|thread| !thread.is_finished());
        if self.hanging.len() >= MAX_HANGING {
            return Err(vec![format!(
                "{MAX_HANGING} reloads before this one still hang on a file that cannot be read to its end; reload again \
                 when its file system answers, and restart the exporter only if that does not help"
            )]);
        }
        let mut load = self.begin()?;
        match tokio::time::timeout(self.patience, &mut load.result).await {
            Ok(Ok(loaded)) => loaded,
            // The panic itself has been logged by the panic hook.
            Ok(Err(_)) => Err(vec![
                "reading the configuration failed unexpectedly; this is a defect, please report it with the log"
                    .to_owned(),
            ]),
            Err(_) => Err(self.give_up(load)),
        }
    }

    fn begin(&self) -> Result<UnderWay, Vec<String>> {
        let (load_config, web_file) = (Arc::clone(&self.load_config), self.web_file.clone());
        let reading = Reading::new(CONFIG);
        let now = reading.clone();
        let (sender, result) = oneshot::channel();
        let work = move || {
            let config = load_config().and_then(|config| {
                now.goes_on_to(CERTIFICATES);
                let trust = Trust::read(&config.api).map_err(|error| vec![chain(&error)])?;
                Ok((config, trust))
            });
            now.goes_on_to(WEB);
            let web = web_file.map(|file| file.read()).transpose();
            // Nobody may be left to take it.
            let _ = sender.send(match (config, web) {
                (Ok((config, trust)), Ok(web)) => Ok(Loaded { config, trust, web }),
                (config, web) => Err([config.err(), web.err()]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .collect()),
            });
        };
        // No thread of a runtime: those resolve names, and must not be used up by files.
        let spawned = thread::Builder::new().name("load".to_owned()).spawn(work);
        let thread = spawned.map_err(|error| {
            vec![format!(
                "no thread can be started to read the configuration: {error}; raise the limit of tasks (TasksMax=)"
            )]
        })?;
        Ok(UnderWay {
            reading,
            result,
            thread,
        })
    }

    fn give_up(&mut self, load: UnderWay) -> Vec<String> {
        self.hanging.push(load.thread);
        vec![format!(
            "{} could not be read to its end in {}; see whether its file system answers, then reload again",
            load.reading.what(),
            config::show(self.patience)
        )]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::config::{Environment, parse};

    fn good() -> Config {
        let text = "api: {base_url: 'http://127.0.0.1:1'}\naccounts: [{username: u, secret_key: made-up, domains: [www.a.com]}]\n";
        parse(text, "test", &Environment::default()).unwrap()
    }

    #[tokio::test]
    async fn what_hangs_is_given_up_and_so_many_at_most() {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let begun = Arc::new(AtomicUsize::new(0));
        let load = {
            let begun = Arc::clone(&begun);
            move || {
                begun.fetch_add(1, Ordering::Relaxed);
                let _ = released.lock().unwrap().recv();
                Ok(good())
            }
        };
        let mut loader = Loader {
            patience: Duration::from_millis(20),
            ..Loader::new(Arc::new(load), None)
        };
        for number in 1..=MAX_HANGING + 3 {
            let problems = loader.load().await.err().unwrap();
            let expected = if number <= MAX_HANGING {
                "the configuration, or a file that it names, could not be read to its end in 20ms; "
            } else {
                "8 reloads before this one still hang"
            };
            assert!(
                problems.len() == 1 && problems[0].starts_with(expected),
                "{problems:?}"
            );
        }
        assert_eq!(loader.hanging.len(), MAX_HANGING);
        // The path leads elsewhere by now.
        let hanging = loader.load_config;
        loader.load_config = Arc::new(|| Ok(good()));
        loader.hanging.truncate(1);
        assert!(
            loader.load().await.is_ok(),
            "another file is read beside what hangs"
        );
        // What hung has ended.
        loader.load_config = hanging;
        loader.patience = Duration::from_secs(30);
        drop(release);
        assert!(loader.load().await.is_ok());
        assert_eq!(begun.load(Ordering::Relaxed), MAX_HANGING + 1);
        while loader.load().await.is_err() || !loader.hanging.is_empty() {}
    }

    #[tokio::test]
    async fn the_file_that_hangs_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let web = folder.path().join("web.yml");
        std::fs::write(&web, "").unwrap();
        let file = Arc::new(WebFile::open(&web).unwrap());
        std::fs::remove_file(&web).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&web).status().unwrap();
        assert!(made.success());
        let mut loader = Loader::new(Arc::new(|| Ok(good())), Some(file));
        loader.patience = Duration::from_millis(500);
        let problems = loader.load().await.err().unwrap();
        assert!(
            problems[0].starts_with("the web configuration, or a file"),
            "{problems:?}"
        );
        std::fs::remove_file(&web).unwrap();
        std::fs::write(&web, "rate_limits: {}\n").unwrap();
        loader.patience = Duration::from_secs(30);
        loader.load_config = Arc::new(|| Err(vec!["first".to_owned(), "second".to_owned()]));
        let problems = loader.load().await.err().unwrap();
        assert_eq!(problems.len(), 3, "those of both files: {problems:?}");
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_next_reading_is_another() {
        let calls = AtomicUsize::new(0);
        let load = move || {
            assert!(
                calls.fetch_add(1, Ordering::Relaxed) > 0,
                "a defect made for this test"
            );
            Ok(good())
        };
        let mut loader = Loader::new(Arc::new(load), None);
        let problems = loader.load().await.err().unwrap();
        assert!(problems[0].contains("failed unexpectedly"), "{problems:?}");
        assert!(loader.load().await.is_ok());
    }
}
