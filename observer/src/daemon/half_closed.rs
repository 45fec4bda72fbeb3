//! The gauges of half-closed connections, as the daemon refreshes them.

use std::{sync::Arc, time::Instant};

use crate::{
    half_closed::{
        Fin, Fins, Unseen,
        gauges::{Gauges, gauges},
        snapshot,
        snapshot_thread::SnapshotThread,
    },
    metrics::Metrics,
    pipeline::Pipeline,
    query::HistorySender,
};

/// Takes snapshots on a thread of their own, and shows the last one in the metrics.
///
/// Snapshots list the connections. The stories know the age and the closer of those that are still open, and the
/// history knows those whose verdict has been given.
pub(super) struct HalfClosedGauges {
    thread: SnapshotThread<(Gauges, Unseen)>,
    /// Why the last snapshot failed.
    pub(super) failure: Option<String>,
    /// Network namespaces and processes that the last snapshot could not read.
    pub(super) unseen: Option<String>,
    unseen_logged: bool,
}

impl HalfClosedGauges {
    pub(super) fn new() -> Self {
        Self {
            thread: SnapshotThread::new(Instant::now()),
            failure: None,
            unseen: None,
            unseen_logged: false,
        }
    }

    /// Starts a snapshot when one is due, and takes the result of one that is ready. Never waits.
    pub(super) fn poll(&mut self, pipeline: &Pipeline, history: &mut HistorySender, metrics: &mut Metrics) {
        let start = || {
            let seen = fins(pipeline);
            history.fins(Arc::clone(&seen));
            let reader = history.reader();
            move || {
                let snapshot = snapshot(&seen, |orphans| reader.fins(orphans))?;
                Ok((gauges(&snapshot.sockets), snapshot.unseen))
            }
        };
        let Some(found) = self.thread.poll(Instant::now(), start) else { return };
        metrics.half_closed(found.as_ref().ok().map(|(gauges, unseen)| (gauges, *unseen)));
        // Log a change once, not each time.
        match found {
            Err(error) => {
                let error =
                    format!("half-closed connections are not counted: {:#}", anyhow::Error::from(error));
                if self.failure.is_none() {
                    log::warn!("{error}");
                }
                self.failure = Some(error);
            }
            Ok((_, unseen)) => {
                self.failure = None;
                self.unseen = unseen.summary();
                if let Some(unseen) = &self.unseen
                    && !std::mem::replace(&mut self.unseen_logged, true)
                {
                    log::warn!("{unseen}");
                }
            }
        }
    }
}

/// FINs of the connections that are half-closed now and have no verdict yet.
pub(super) fn fins(pipeline: &Pipeline) -> Arc<Fins> {
    Arc::new(pipeline.half_closed().filter_map(Fin::of_story).collect())
}
