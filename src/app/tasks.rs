//! The tasks beside the server, on the thread that polls, each with a name: the first that ends although nobody stopped it ends all.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every task ends at its next step, and a step takes milliseconds, or a good second where it takes over a hundred
/// thousand domains. SIGTERM must end within 5 s, of which open connections may have had 3.
const PATIENCE: Duration = Duration::from_secs(1);

/// Every running task; clones share them.
#[derive(Clone)]
pub(super) struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
    runtime: Handle,
    ended: watch::Sender<Option<String>>,
}

/// Tells when a task ended although nobody stopped it.
pub(super) struct Failures(watch::Receiver<Option<String>>);

impl Failures {
    /// Waits for the first one, and names it.
    pub(super) async fn unexpected_end(mut self) -> String {
        let part = match self.0.wait_for(Option::is_some).await {
            Ok(part) => part.clone(),
            Err(_) => None,
        };
        part.unwrap_or_else(|| "the set of tasks".to_owned())
    }
}

impl Tasks {
    /// No tasks yet; all of them will run there, and are stopped with `stop`.
    pub(super) fn new(stop: CancellationToken, runtime: Handle) -> Self {
        Self {
            stop,
            tracker: TaskTracker::new(),
            runtime,
            ended: watch::Sender::new(None),
        }
    }

    pub(super) fn failures(&self) -> Failures {
        Failures(self.ended.subscribe())
    }

    /// What stops one task.
    pub(super) fn token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Starts a task that ends once its token is cancelled, and not before.
    pub(super) fn spawn(
        &self,
        name: String,
        cancelled: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let ended = self.ended.clone();
        let task = async move {
            // The panic itself has been logged by the panic hook; here it ends the process.
            let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
            if panicked || !cancelled.is_cancelled() {
                ended.send_replace(Some(name));
            }
        };
        self.tracker.spawn_on(task, &self.runtime);
    }

    /// Stops every task and waits until they have ended, though not for ever.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(PATIENCE, self.tracker.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.tracker.len(),
                "stopping: tasks that did not end in time are left where they are"
            );
        }
    }
}
