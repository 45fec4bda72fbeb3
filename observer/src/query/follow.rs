//! `--follow`: new reports for clients that stay connected.

use tokio::sync::broadcast::{self, error::RecvError};

use super::{answer, state::SharedState};
use crate::history::{
    Selection,
    pack::{PackedReport, ReportKind},
};

/// Reports that a follower may be behind. A slower one misses the oldest, and gets their number.
const LAG: usize = 4096;

/// Passes each new report to all followers.
#[derive(Clone)]
pub(super) struct Followers(broadcast::Sender<PackedReport>);

impl Followers {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(LAG).0)
    }

    pub(super) fn publish(&self, report: &PackedReport) {
        if self.0.receiver_count() > 0 {
            // It fails only when the last follower has just gone.
            drop(self.0.send(report.clone()));
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<PackedReport> {
        self.0.subscribe()
    }
}

/// One follower, and the reports that it asked for.
pub(super) struct Follower {
    pub(super) reports: broadcast::Receiver<PackedReport>,
    pub(super) kind: ReportKind,
    pub(super) wanted: Selection,
}

impl Follower {
    /// The next line for this follower, newline included. None when there will be no more.
    pub(super) async fn next(&mut self, state: &SharedState) -> Option<String> {
        loop {
            match self.reports.recv().await {
                Ok(report) => {
                    let mut state = state.lock();
                    if report.kind == self.kind && report.is_wanted(&self.wanted, &mut state.history.cgroups)
                    {
                        return Some(answer::report_lines(&mut state, std::slice::from_ref(&report)));
                    }
                }
                Err(RecvError::Lagged(count)) => return Some(answer::missed(count)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
