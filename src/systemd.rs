//! Tells systemd how the service is doing; without `NOTIFY_SOCKET` in the environment nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
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
/// manager asks for none. Running on the runtime that polls and serves, it falls silent when that
/// runtime hangs.
pub async fn watchdog(stop: CancellationToken) {
    let Some(timeout) = sd_notify::watchdog_enabled() else {
        return;
    };
    beat(timeout, stop, || notify(&[NotifyState::Watchdog])).await;
}

async fn beat(timeout: Duration, stop: CancellationToken, mut sign_of_life: impl FnMut()) {
    let mut ticks = tokio::time::interval((timeout / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => sign_of_life(),
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_at_half_its_time() {
        let (stop, mut beats) = (CancellationToken::new(), 0);
        let after = tokio::time::sleep(Duration::from_secs(31));
        tokio::select! {
            () = beat(Duration::from_secs(20), stop, || beats += 1) => {}
            () = after => {}
        }
        // At 0, 10, 20 and 30 s.
        assert_eq!(beats, 4);
    }

    #[tokio::test]
    async fn without_a_service_manager_nothing_happens() {
        ready();
        reloading();
        watchdog(CancellationToken::new()).await;
        stopping();
    }
}
