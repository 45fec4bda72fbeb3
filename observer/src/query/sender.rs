//! The draining thread's end of the history: gathers reports, and hands them over without ever waiting.
//!
//! The queue to the thread that answers requests is bounded. When it is full, reports wait in a backlog, which is
//! bounded too; what that cannot hold is counted ([`DaemonStatus::not_taken`]).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::{
    fins::{FinsRequest, HistoryReader},
    state::Message,
    status::DaemonStatus,
};
use crate::{
    half_closed::Fins,
    history::{HistoryLimits, pack::PackedReport},
    report::Report,
};

/// Maximum reports in the backlog: about 20 MB, one second of a storm of closes.
const BACKLOG: usize = 65_536;

/// Minimum time between two answers to requests for FINs.
const FINS_INTERVAL: Duration = Duration::from_millis(250);

/// Hands reports and the daemon's state to the thread that answers requests.
pub struct HistorySender {
    queue: Sender<Message>,
    backlog: Vec<PackedReport>,
    /// Reports that were dropped since the start.
    not_taken: u64,
    /// New limits that are not yet handed over.
    limits: Option<HistoryLimits>,
    /// The receiving thread has ended, and the log says so.
    end_logged: bool,
    reader: HistoryReader,
    fins_request: Arc<FinsRequest>,
    fins_sent: Option<Instant>,
}

impl HistorySender {
    pub(super) const fn new(
        queue: Sender<Message>,
        reader: HistoryReader,
        fins_request: Arc<FinsRequest>,
    ) -> Self {
        Self {
            queue,
            backlog: Vec::new(),
            not_taken: 0,
            limits: None,
            end_logged: false,
            reader,
            fins_request,
            fins_sent: None,
        }
    }

    /// Keeps a report for the history. [`Self::flush`] hands it over.
    pub fn report(&mut self, report: &Report) {
        if matches!(report, Report::StrayReset(_) | Report::LingerExpired(_)) {
            // The history holds closes and write errors only.
        } else if self.backlog.len() >= BACKLOG {
            self.not_taken += 1;
        } else {
            self.backlog.extend(PackedReport::of(report));
        }
    }

    /// Changes the limits of the history, with the next [`Self::flush`].
    pub fn set_limits(&mut self, limits: HistoryLimits) {
        self.limits = Some(limits);
    }

    /// Hands over all reports that were gathered. If the queue is full, they wait for the next call.
    pub fn flush(&mut self) {
        if let Some(limits) = self.limits
            && let Ok(place) = self.queue.try_reserve()
        {
            place.send(Message::HistoryLimits(limits));
            self.limits = None;
        }
        if self.backlog.is_empty() {
            return;
        }
        match self.queue.try_reserve() {
            Ok(place) => place.send(Message::Reports(std::mem::take(&mut self.backlog))),
            Err(TrySendError::Full(())) => {}
            Err(TrySendError::Closed(())) => {
                self.not_taken += u64::try_from(self.backlog.len()).unwrap_or(u64::MAX);
                self.backlog.clear();
                if !std::mem::replace(&mut self.end_logged, true) {
                    log::error!("the thread that answers queries has ended; everything else continues");
                }
            }
        }
    }

    /// Access to the history for threads that may wait. The draining thread must not use it itself.
    #[must_use]
    pub fn reader(&self) -> HistoryReader {
        self.reader.clone()
    }

    /// Whether a client asks for FINs now. True at most every 250 ms, since gathering them takes a pass through all
    /// stories.
    pub fn fins_requested(&mut self) -> bool {
        self.fins_sent.is_none_or(|at| at.elapsed() >= FINS_INTERVAL) && self.fins_request.take()
    }

    /// Hands over FINs. If the queue is full, they are dropped: the next ones replace them anyway.
    pub fn fins(&mut self, fins: Arc<Fins>) {
        self.fins_sent = Some(Instant::now());
        if let Ok(place) = self.queue.try_reserve() {
            place.send(Message::Fins(fins));
        }
    }

    /// Hands over the state of the draining thread. If the queue is full, it is dropped: the next one comes within a
    /// second.
    pub fn status(&mut self, mut status: Box<DaemonStatus>) {
        status.not_taken = self.not_taken;
        if let Ok(place) = self.queue.try_reserve() {
            place.send(Message::Status(status));
        }
    }
}
