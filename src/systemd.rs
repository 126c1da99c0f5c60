//! Tells systemd how the service is doing; without `NOTIFY_SOCKET` in the environment nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The service is up: listening, configured, polling.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A reload has begun; it ends with [`ready`], whether or not it changed anything.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // Type=notify-reload wants the time, so that it can tell this reload from an earlier one.
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The service is about to end.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// Sends signs of life at half of `WATCHDOG_USEC` until `stop`; returns at once if the service
/// manager asks for none. Running on the runtime that serves, it falls silent when that one hangs, and
/// when the one that polls (`polling`) does not answer.
pub async fn watchdog(stop: CancellationToken, polling: Handle) {
    let Some(timeout) = sd_notify::watchdog_enabled() else {
        return;
    };
    beat(timeout, stop, &polling, || notify(&[NotifyState::Watchdog])).await;
}

async fn beat(timeout: Duration, stop: CancellationToken, polling: &Handle, mut sign_of_life: impl FnMut()) {
    let mut ticks = tokio::time::interval((timeout / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let answer = async {
            ticks.tick().await;
            polling.spawn(async {}).await.is_ok()
        };
        tokio::select! {
            () = stop.cancelled() => return,
            alive = answer => if alive {
                sign_of_life();
            },
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd; check NotifyAccess= and NOTIFY_SOCKET");
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_at_half_its_time() {
        let (stop, started, mut beats) = (CancellationToken::new(), Instant::now(), Vec::new());
        let polling = Handle::current();
        beat(Duration::from_secs(20), stop.clone(), &polling, || {
            beats.push(started.elapsed().as_secs());
            if beats.len() == 4 {
                stop.cancel();
            }
        })
        .await;
        assert_eq!(beats, [0, 10, 20, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_not_fed_while_the_thread_that_polls_gives_no_answer() {
        // Nothing runs on a runtime of this kind unless somebody waits on it.
        let hanging = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let gone = {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.shutdown_background();
            handle
        };
        for polling in [hanging.handle(), &gone] {
            let mut beats = 0;
            let feeding = beat(Duration::from_secs(20), CancellationToken::new(), polling, || {
                beats += 1;
            });
            assert!(
                tokio::time::timeout(Duration::from_secs(31), feeding)
                    .await
                    .is_err()
            );
            assert_eq!(beats, 0);
        }
        hanging.shutdown_background();
    }

    #[tokio::test]
    async fn without_a_service_manager_nothing_happens() {
        ready();
        reloading();
        watchdog(CancellationToken::new(), Handle::current()).await;
        stopping();
    }
}
