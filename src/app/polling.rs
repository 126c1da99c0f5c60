//! The thread that polls, with a runtime of its own: polls and scrapes never wait for each other, and a
//! call passes through its tasks without waking another thread.

use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// At most so many threads, started when needed, that resolve the provider's name: each new connection does, and a
/// resolver may hang.
const BLOCKING: usize = 64;

/// A running thread; it ends when this is dropped, and what is still on it is dropped with it.
pub(super) struct PollingThread {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl PollingThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING)
            .thread_name("poll-blocking")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("poll".to_owned()).spawn(move || {
            // Nothing is ever sent: it ends when the other side is dropped.
            let _ = runtime.block_on(stopped);
            // A resolver that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _stop: stop })
    }

    /// Where to spawn what belongs on it.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}
