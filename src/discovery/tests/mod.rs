//! Hours of discovery in milliseconds: a paused clock, lists from memory.

mod assignments;
mod losses;
mod pages;
mod times;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::model::{ListRow, Reason};
use crate::telemetry::kept::keep;

/// A provider whose list is a script: for every page asked for, what comes.
#[derive(Clone)]
struct Script(
    Arc<dyn Fn(usize, ListPageWanted) -> Reply + Send + Sync>,
    Arc<Mutex<Log>>,
);

#[derive(Default)]
struct Log {
    asked: Vec<(Instant, usize, usize)>,
}

enum Reply {
    Page(Option<u64>, Vec<String>),
    Fails(Failure),
    Late(Duration, Box<Reply>),
    Hangs,
}

impl Script {
    /// `reply` is asked with how many calls there were before.
    fn new(reply: impl Fn(usize, ListPageWanted) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(reply), Arc::default())
    }

    fn asked(&self) -> Vec<(Instant, usize, usize)> {
        self.1.lock().unwrap().asked.clone()
    }
}

impl Catalogue for Script {
    async fn page(&self, wanted: ListPageWanted, _: DateShift) -> Result<ListPage, Failure> {
        let call = {
            let mut log = self.1.lock().unwrap();
            log.asked.push((Instant::now(), wanted.number, wanted.size));
            log.asked.len() - 1
        };
        let mut reply = (self.0)(call, wanted);
        while let Reply::Late(wait, then) = reply {
            tokio::time::sleep(wait).await;
            reply = *then;
        }
        match reply {
            Reply::Page(total, names) => Ok(ListPage {
                total,
                rows: names
                    .into_iter()
                    .map(|name| ListRow {
                        name,
                        kind: String::new(),
                    })
                    .collect(),
                left_out: 0,
            }),
            Reply::Fails(failure) => Err(failure),
            Reply::Late(..) => unreachable!("waited for"),
            Reply::Hangs => std::future::pending().await,
        }
    }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("d{i:04}.example.com")).collect()
}

/// A page of so many domains as a faithful provider gives it.
fn faithful(count: usize, wanted: ListPageWanted) -> Reply {
    let start = ((wanted.number - 1) * wanted.size).min(count);
    let end = (start + wanted.size).min(count);
    Reply::Page(u64::try_from(count).ok(), names(start..end))
}

fn failure(reason: Reason, disposition: Disposition) -> Reply {
    Reply::Fails(Failure {
        reason,
        disposition,
        message: "made up".to_owned(),
    })
}

/// Takes every list, unless told otherwise.
#[derive(Default)]
struct Shelf {
    taken: Mutex<Vec<(Instant, u64, usize)>>,
    progress: Mutex<Option<Arc<Progress>>>,
    stale: AtomicBool,
}

impl Taker for Arc<Shelf> {
    async fn take(&self, _: &AccountName, source: u64, list: Arc<DomainList>) -> Result<Taken, Unlisted> {
        if self.stale.load(Ordering::Relaxed) {
            return Ok(Taken::Stale);
        }
        let mut taken = self.taken.lock().unwrap();
        taken.push((Instant::now(), source, list.domains.len()));
        // As the application does: without a filter all of them are selected.
        if let Some(progress) = self.progress.lock().unwrap().as_ref() {
            progress.selected(Some(list.domains.len()));
        }
        Ok(Taken::Over)
    }
}

#[derive(Default)]
struct Ends(Mutex<Vec<Option<DiscoveryReason>>>);

impl Observer for Ends {
    fn discovery_ended(
        &self,
        _: &AccountName,
        _: chrono::DateTime<chrono::Utc>,
        failure: Option<DiscoveryReason>,
    ) {
        self.0.lock().unwrap().push(failure);
    }
}

fn assignment(script: &Script, source: u64, max_domains: usize) -> Arc<Assignment<Script>> {
    let account = AccountName::new("a");
    Arc::new(Assignment {
        lane: Arc::new(Lane::new(account.clone(), 8, 1_000.0, Arc::new(Ends::default()))),
        account,
        source,
        reload: 0,
        max_domains,
        catalogue: script.clone(),
    })
}

/// The same again, by a reload.
fn reloaded(script: &Script, reload: u64) -> Arc<Assignment<Script>> {
    let assignment = Arc::into_inner(assignment(script, 1, 2_000)).unwrap();
    Arc::new(Assignment { reload, ..assignment })
}

/// A running discovery.
struct Running {
    assignments: watch::Sender<Arc<Assignment<Script>>>,
    shelf: Arc<Shelf>,
    ends: Arc<Ends>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    began: Instant,
}

impl Running {
    fn start(script: &Script, max_domains: usize) -> Self {
        Self::start_with(script, max_domains, Shelf::default())
    }

    fn start_with(script: &Script, max_domains: usize, shelf: Shelf) -> Self {
        let (assignments, receiver) = watch::channel(assignment(script, 1, max_domains));
        let (shelf, ends) = (Arc::new(shelf), Arc::new(Ends::default()));
        let progress = Arc::new(Progress::new(AccountName::new("a")));
        *shelf.progress.lock().unwrap() = Some(Arc::clone(&progress));
        let stop = CancellationToken::new();
        let surroundings = Surroundings {
            taker: Arc::clone(&shelf),
            observer: Arc::<Ends>::clone(&ends),
            clock: Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap())),
            pace: Pace::default(),
        };
        let task = tokio::runtime::Handle::current().spawn(run(
            receiver,
            surroundings,
            Arc::clone(&progress),
            stop.clone(),
        ));
        Self {
            assignments,
            shelf,
            ends,
            progress,
            stop,
            task,
            began: Instant::now(),
        }
    }

    /// Lets so many seconds of the paused clock pass since the start.
    async fn until(&self, seconds: u64) {
        tokio::time::sleep_until(self.began + Duration::from_secs(seconds)).await;
    }

    fn taken(&self) -> Vec<usize> {
        let taken = self.shelf.taken.lock().unwrap();
        taken.iter().map(|(_, _, domains)| *domains).collect()
    }

    fn ends(&self) -> Vec<Option<DiscoveryReason>> {
        self.ends.0.lock().unwrap().clone()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
