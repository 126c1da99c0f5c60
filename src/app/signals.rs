//! SIGTERM and SIGINT stop the process, a second one ends it at once; SIGHUP reloads.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which signal came; displayed by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// From a supervisor.
    Terminate,
    /// From a terminal.
    Interrupt,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

impl Signals {
    /// From here on these signals do not end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses to register a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            Some(()) = self.terminate.recv() => Stop::Terminate,
            Some(()) = self.interrupt.recv() => Stop::Interrupt,
            else => std::future::pending().await,
        }
    }
}

/// SIGHUP, which from here on does not end the process.
pub(super) struct Hangups(Option<Signal>);

impl Hangups {
    pub(super) fn new() -> Self {
        Self(
            signal(SignalKind::hangup())
                .inspect_err(
                    |error| tracing::error!(%error, "SIGHUP cannot be handled; reload by POST /-/reload"),
                )
                .ok(),
        )
    }

    /// Does something at every one, one after the other, for ever.
    pub(super) async fn each<F: Future>(self, mut handle: impl FnMut() -> F) {
        if let Some(mut hangups) = self.0 {
            while hangups.recv().await.is_some() {
                handle().await;
            }
        }
        std::future::pending::<()>().await;
    }
}
