//! The state that requests are answered from, and the messages that change it.
//!
//! The thread that answers requests owns nearly all of it. One other thread, which takes the snapshots of half-closed
//! connections, locks it for one pass through the newest closes every ten seconds ([`super::fins::HistoryReader`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::status::{DaemonStatus, Losses};
use crate::{
    half_closed::Fins,
    history::{History, HistoryLimits, pack::PackedReport},
    owner::Cgroups,
    source::clock::{ClockOffset, monotonic_ns},
};

/// A message from the draining thread.
#[derive(Debug)]
pub(super) enum Message {
    /// The reports of one batch.
    Reports(Vec<PackedReport>),
    /// The state of the draining thread.
    Status(Box<DaemonStatus>),
    /// New limits of the history.
    HistoryLimits(HistoryLimits),
    /// FINs of the connections that are half-closed now and have no verdict yet.
    Fins(Arc<Fins>),
}

/// All that a request can ask about.
pub(super) struct QueryState {
    pub(super) history: History,
    /// The last one received.
    pub(super) status: DaemonStatus,
    pub(super) losses: Losses,
    /// The last ones received.
    pub(super) fins: Arc<Fins>,
    pub(super) clock: ClockOffset,
}

/// [`QueryState`] behind its lock. No lock is held across an await.
#[derive(Clone)]
pub(super) struct SharedState(Arc<Mutex<QueryState>>);

impl SharedState {
    pub(super) fn new(limits: HistoryLimits) -> Self {
        let now = monotonic_ns();
        Self(Arc::new(Mutex::new(QueryState {
            history: History::new(limits, Cgroups::new()),
            // In force until the first message with a status.
            status: DaemonStatus { ns: now, started_ns: now, ..DaemonStatus::default() },
            losses: Losses::default(),
            fins: Arc::default(),
            clock: ClockOffset::now(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryState {
    pub(super) fn set_status(&mut self, status: DaemonStatus) {
        self.history.expire(status.ns);
        self.clock = self.clock.refreshed();
        self.losses.update(&status);
        self.status = status;
    }
}
