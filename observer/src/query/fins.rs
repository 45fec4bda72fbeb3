//! FINs of half-closed connections, passed from the threads that know them to clients that ask.
//!
//! The draining thread knows those of connections without a verdict. The history knows those of connections whose
//! verdict has been given.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::state::SharedState;
use crate::{event::Endpoints, half_closed::Fins, source::clock::monotonic_ns};

/// Time for the draining thread to answer. After it, its previous FINs are used.
const WAIT: Duration = Duration::from_secs(1);

/// The oldest verdict whose connection may still have a minisocket that waits for the peer's FIN (`CLOCK_MONOTONIC`,
/// ns). `tcp_time_wait()` keeps a minisocket for 60 s or for 3.5 retransmission timeouts of 120 s at most.
pub(super) const fn oldest_ns(now_ns: u64) -> u64 {
    const LIFE_NS: u64 = 420_000_000_000;
    now_ns.saturating_sub(LIFE_NS)
}

/// Access to the history for threads that may wait until a request has been answered.
#[derive(Clone)]
pub struct HistoryReader {
    pub(super) state: SharedState,
}

impl HistoryReader {
    /// FINs of those of the `wanted` connections that have a verdict.
    #[must_use]
    pub fn fins(&self, wanted: &HashSet<Endpoints>) -> Fins {
        let state = self.state.lock();
        state.history.fins(oldest_ns(monotonic_ns()), |endpoints| wanted.contains(endpoints))
    }
}

/// A client's request for the FINs of this moment, which only the draining thread can answer.
#[derive(Default)]
pub(super) struct FinsRequest {
    is_open: AtomicBool,
    answered: Notify,
}

impl FinsRequest {
    /// Asks, and waits for the answer for one second at most.
    pub(super) async fn ask(&self) {
        // Created first: from here on no answer is missed.
        let answered = self.answered.notified();
        self.is_open.store(true, Ordering::Relaxed);
        if timeout(WAIT, answered).await.is_err() {
            log::debug!("no FINs of half-closed connections came in time");
        }
    }

    /// For the draining thread: whether a client asks. Clears the request.
    pub(super) fn take(&self) -> bool {
        self.is_open.swap(false, Ordering::Relaxed)
    }

    /// The state has the FINs now.
    pub(super) fn answer(&self) {
        self.answered.notify_waiters();
    }
}
