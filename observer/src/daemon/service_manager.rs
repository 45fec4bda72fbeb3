//! Notifications to the service manager (systemd, `NOTIFY_SOCKET`): ready, reloading, stopping, watchdog.
//!
//! Without a service manager they do nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Hooks are attached and metrics are served.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon reads its settings again, until [`reloaded`].
pub(super) fn reloading() {
    // systemd 253 and later require the time.
    let now = NotifyState::monotonic_usec_now();
    notify(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
}

/// The new settings are in force, or the old ones if the new ones have mistakes.
pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// The daemon reports what is left, and ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells systemd that the draining loop still runs. Without these notifications, systemd restarts the daemon.
pub(super) struct Watchdog {
    /// Half of `WatchdogSec=`; None without a watchdog.
    interval: Option<Duration>,
    fed: Instant,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { interval, fed: Instant::now() }
    }

    /// Only the draining loop may call this, so that the watchdog notices when it hangs.
    pub(super) fn feed(&mut self) {
        if self.interval.is_some_and(|interval| self.fed.elapsed() >= interval) {
            self.fed = Instant::now();
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("cannot notify the service manager: {error}");
    }
}
