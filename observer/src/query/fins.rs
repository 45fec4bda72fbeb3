//! FINs of half-closed connections, between the threads that know them and those that are asked.
//!
//! The draining thread has those of connections that are still open; the history has those of connections whose
//! verdict has been given.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::server::ServerState;
use crate::{event::Endpoints, half_closed::Fins, source::clock::monotonic_ns};

/// Time for the draining thread to say which connections are half-closed. After it, what it said last is the answer.
const WAIT: Duration = Duration::from_secs(1);

/// The beginning of the time in which a verdict's connection may have left a minisocket that waits for the peer's FIN
/// (`CLOCK_MONOTONIC`, ns): `tcp_time_wait()` gives it 60 s, or 3.5 retransmission timeouts, which have 120 s at most.
pub(super) const fn since(now_ns: u64) -> u64 {
    const LIFE_NS: u64 = 420_000_000_000;
    now_ns.saturating_sub(LIFE_NS)
}

/// A way to the history, for threads that may wait while a question is answered.
#[derive(Clone)]
pub struct Remembered {
    pub(super) state: Arc<Mutex<ServerState>>,
}

impl Remembered {
    /// FINs of these connections, whose verdicts have been given.
    #[must_use]
    pub fn fins(&self, wanted: &HashSet<Endpoints>) -> Fins {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.history.fins(since(monotonic_ns()), |endpoints| wanted.contains(endpoints))
    }
}

/// Somebody asks for the FINs of this moment.
#[derive(Default)]
pub(super) struct Wish {
    wanted: AtomicBool,
    granted: Notify,
}

impl Wish {
    /// Waits until the draining thread has told them, within limits.
    pub(super) async fn make(&self) {
        // From here on every grant is noticed.
        let granted = self.granted.notified();
        self.wanted.store(true, Ordering::Relaxed);
        if timeout(WAIT, granted).await.is_err() {
            log::debug!("which connections are half-closed was not told in time");
        }
    }

    /// For the draining thread: whether there is a wish. There is none afterwards.
    pub(super) fn take(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// They have been told.
    pub(super) fn grant(&self) {
        self.granted.notify_waiters();
    }
}
