//! The tasks beside the server, on the thread that polls, each with a name: the first that ends although nobody stopped it ends all.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

    /// Where they run.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
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

    /// Stops every task and waits until they have ended.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
