//! The service manager, where there is one (systemd, by `NOTIFY_SOCKET`): told when the daemon is ready, reloads,
//! stops, and that it still does its work.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Hooks are attached and metrics are served.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// From now on until [`reloaded`] the settings are not what they were.
pub(super) fn reloading() {
    // systemd 253 and later want to know since when.
    let now = NotifyState::monotonic_usec_now();
    tell(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
}

/// The settings are what the file says, or what they were.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// What is left is told, and then it ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Takes a silent daemon for a dead one.
pub(super) struct Watchdog {
    /// Half of the time after which it does; None when nobody watches.
    interval: Option<Duration>,
    fed: Instant,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { interval, fed: Instant::now() }
    }

    /// To be called by the loop that must not hang, and by nothing else.
    pub(super) fn feed(&mut self) {
        if self.interval.is_some_and(|interval| self.fed.elapsed() >= interval) {
            self.fed = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("the service manager does not listen: {error}");
    }
}
