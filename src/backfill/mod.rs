//! `backfill`: reads a past range from the provider and writes every window, under its own time, for
//! import into a time-series database.
//!
//! In reading order: `range` (pure) says which windows are meant, `request` (pure) which calls that
//! takes, `reader` makes them, `history` (pure) and `journal` keep what they gave, in memory and in a
//! file that outlives an interruption, `writer` (pure) prints it, `destination` takes it, `summary`
//! tells what is missing, and `progress` how far it is.

mod destination;
pub mod history;
pub mod journal;
mod progress;
pub mod range;
mod reader;
pub mod request;
mod summary;
pub mod writer;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::model::{Reading, WindowRange};
use crate::provider::Trust;
use crate::telemetry::chain;

use history::History;
use journal::{Journal, JournalError, Record};
use progress::Progress;
use reader::{Done, Reader};
use request::{Call, Request};

pub use destination::Destination;
pub use range::Moment;
pub use request::Wanted;
pub use summary::{Line, Summary};

/// A checked backfill that has not asked for anything yet.
pub struct Backfill {
    destination: Destination,
    reader: Reader,
    calls: Vec<Call>,
    readings: Readings,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// The output is written; windows may be missing.
    Written {
        /// What is in it.
        summary: Summary,
        /// Calls failed that may succeed later: what has been read is kept in this file, for the same
        /// command to ask for the rest only.
        kept: Option<PathBuf>,
    },
    /// It was told to stop.
    Interrupted {
        /// Where the readings so far are kept, for the same command to continue.
        kept: Option<PathBuf>,
    },
}

/// It cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The readings cannot be kept.
    #[error("the readings cannot be kept")]
    Journal(#[from] JournalError),
    /// The output cannot be written.
    #[error("{destination} cannot be written; check its folder and the room on its disk")]
    Write {
        /// What was written to.
        destination: String,
        /// What the system says.
        source: io::Error,
    },
    /// A defect.
    #[error("writing ended unexpectedly; this is a defect, please report it")]
    Writer(#[from] tokio::task::JoinError),
}

impl Backfill {
    /// Checks what is wanted, and takes over what an interrupted run of the same has read.
    ///
    /// # Errors
    /// Every problem, each with its remedy, without having asked the provider for anything.
    pub fn new(
        wanted: &Wanted,
        config: &Config,
        destination: Destination,
        clock: Clock,
    ) -> Result<Self, Vec<String>> {
        let newest_settled = config.poll.visibility().rule.newest_settled(clock.now());
        let request = Request::new(wanted, config, newest_settled)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        destination.check().map_err(|problem| vec![problem])?;
        let trust = Trust::read(&config.api).map_err(|error| vec![chain(&error)])?;
        let reader = Reader::new(config, &trust, clock).map_err(|error| vec![chain(&error)])?;
        let mut readings = Readings::new(request.histories);
        if let Some(path) = destination.journal() {
            let journal = Journal::open(&path, &request.header, |record| readings.resume(&record))
                .map_err(|error| vec![chain(&error)])?;
            readings.journal = Some(journal);
        }
        Ok(Self {
            destination,
            reader,
            calls: request.calls,
            readings,
        })
    }

    /// Reads and writes, unless `stop` is cancelled first.
    ///
    /// # Errors
    /// When readings cannot be kept or the output cannot be written; what the provider fails to give is
    /// no error but missing.
    pub async fn run(self, stop: CancellationToken) -> Result<Ended, BackfillError> {
        let Self {
            destination,
            reader,
            calls,
            mut readings,
        } = self;
        let all: usize = calls.iter().map(Call::windows).sum();
        let resumed = readings.resumed;
        let mut progress = Progress::new(u64::try_from(all).unwrap_or(u64::MAX));
        progress.done(resumed);
        let calls: Vec<Call> = calls
            .into_iter()
            .filter_map(|call| call.without(&readings.read))
            .collect();
        let whole = read_all(&reader, calls, &mut readings, &mut progress, &stop).await?;
        progress.end();
        let Some(unread) = whole else {
            return Ok(Ended::Interrupted {
                kept: keep(readings.journal, true)?,
            });
        };

        let Readings {
            histories, journal, ..
        } = readings;
        let histories = Arc::new(histories);
        let writing = {
            let (histories, destination) = (Arc::clone(&histories), destination.clone());
            tokio::task::spawn_blocking(move || destination.write(&histories, || !stop.is_cancelled()))
        };
        let samples = match writing.await? {
            Ok(samples) => samples,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(Ended::Interrupted {
                    kept: keep(journal, true)?,
                });
            }
            Err(source) => {
                return Err(BackfillError::Write {
                    destination: destination.name(),
                    source,
                });
            }
        };
        let tally = reader.tally();
        Ok(Ended::Written {
            summary: Summary {
                lines: histories.iter().map(Summary::line).collect(),
                samples,
                requests: tally.requests(),
                retries: tally.retries(),
                rejects: tally.rejects(),
                resumed,
            },
            kept: keep(journal, unread > 0)?,
        })
    }
}

/// Makes every call, and again those that failed for the moment, as long as that gives anything. Tells
/// how many calls failed in the end, or nothing if it was stopped.
async fn read_all(
    reader: &Reader,
    mut calls: Vec<Call>,
    readings: &mut Readings,
    progress: &mut Progress,
    stop: &CancellationToken,
) -> Result<Option<usize>, BackfillError> {
    let mut failed = 0;
    while !calls.is_empty() {
        let mut again = Vec::new();
        let mut gave = false;
        let mut done = reader.read(std::mem::take(&mut calls));
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                next = done.next() => next,
            };
            let Some(Done {
                call,
                readings: read,
                again: later,
            }) = next
            else {
                break;
            };
            gave |= !read.is_empty();
            let unread = later.as_ref().map_or(0, Call::windows);
            progress.done(call.windows() - unread.min(call.windows()));
            let given_up = call.domains.len() - read.len() - later.as_ref().map_or(0, |c| c.domains.len());
            failed += usize::from(given_up > 0);
            for (history, read) in read {
                readings.take(history, call.range, &read)?;
            }
            again.extend(later);
        }
        if !gave {
            return Ok(Some(failed + again.len()));
        }
        calls = again;
    }
    Ok(Some(failed))
}

/// What has been read, in memory and in the journal.
struct Readings {
    histories: Vec<History>,
    journal: Option<Journal>,
    /// What needs no asking: the place of a history and the windows of a call.
    read: HashSet<(usize, WindowRange)>,
    /// How many windows an earlier run had read.
    resumed: usize,
}

impl Readings {
    fn new(histories: Vec<History>) -> Self {
        Self {
            histories,
            journal: None,
            read: HashSet::new(),
            resumed: 0,
        }
    }

    /// Takes over what an earlier run has kept.
    fn resume(&mut self, record: &Record) {
        let fits = self
            .histories
            .get_mut(record.history)
            .is_some_and(|history| history.set_rows(record.range, &record.rows));
        if fits && self.read.insert((record.history, record.range)) {
            self.resumed += record.range.count();
        }
    }

    /// Takes what one call gave for one history.
    fn take(&mut self, history: usize, range: WindowRange, readings: &[Reading]) -> Result<(), JournalError> {
        let Some(own) = self.histories.get_mut(history) else {
            return Ok(());
        };
        own.fill(readings);
        match &mut self.journal {
            Some(journal) => journal.append(history, range, own.rows(range)),
            None => Ok(()),
        }
    }
}

/// Leaves the journal where it is if it is of use for another run, and tells where; otherwise removes it.
fn keep(journal: Option<Journal>, useful: bool) -> Result<Option<PathBuf>, JournalError> {
    match journal {
        Some(journal) if useful && !journal.is_empty() => Ok(Some(journal.path().to_owned())),
        Some(journal) => journal.remove().map(|()| None),
        None => Ok(None),
    }
}
