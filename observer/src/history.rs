//! The daemon's memory of the last hours: verdicts and failing writes, for later queries.
//!
//! In: [`PackedReport`]s, in the order of reporting. Out: the newest that fit a filter, counts in groups, or one
//! story. The history is bounded in number, age and bytes, and counts what it drops. It does no I/O and is not
//! shared: the daemon keeps it in the thread that answers queries, so that no query can delay reading the kernel's
//! records.

#[cfg(test)]
mod fixtures;
mod limits;
pub mod pack;
mod story;
pub mod top;

use std::collections::VecDeque;

use self::pack::{PackedReport, ReportKind};
pub use self::{
    limits::{HistoryLimits, HistoryUsage, PushedOut},
    story::{FoundStory, StorySelector, StoryWithErrors},
};
use crate::{
    classify::Cause,
    event::Endpoints,
    filter::Filter,
    half_closed::{Fin, Fins},
    owner::Cgroups,
};

/// Reports of one kind, oldest first.
#[derive(Default)]
struct ReportQueue {
    reports: VecDeque<PackedReport>,
    bytes: usize,
    pushed_out: PushedOut,
}

impl ReportQueue {
    fn push(&mut self, report: PackedReport) {
        self.bytes += report.bytes();
        self.reports.push_back(report);
    }

    fn pop(&mut self) {
        if let Some(report) = self.reports.pop_front() {
            self.bytes -= report.bytes();
        }
    }

    fn oldest_ns(&self) -> Option<u64> {
        Some(self.reports.front()?.ns)
    }
}

/// Selects reports.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Conditions on a report.
    pub filter: Filter,
    /// Earliest time; `CLOCK_MONOTONIC`, ns.
    pub since_ns: u64,
}

/// Most FINs of one answer, a few hundred bytes each. The newest are kept.
const MAX_FINS: usize = 10_000;

/// The last closes and failing writes.
pub struct History {
    limits: HistoryLimits,
    closes: ReportQueue,
    errors: ReportQueue,
    /// Names of cgroups, read while the cgroups exist.
    pub cgroups: Cgroups,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new(limits: HistoryLimits, cgroups: Cgroups) -> Self {
        Self { limits, closes: ReportQueue::default(), errors: ReportQueue::default(), cgroups }
    }

    /// Adds a report, and drops the oldest ones beyond the limits.
    pub fn note(&mut self, report: PackedReport) {
        // The cgroup may be removed before a query asks for its name.
        self.cgroups.get(report.cgroup);
        match report.kind {
            ReportKind::Close => self.closes.push(report),
            ReportKind::WriteError => self.errors.push(report),
        }
        self.make_room();
    }

    /// Changes the limits. Reports that are too old are dropped by the next [`Self::expire`].
    pub fn set_limits(&mut self, limits: HistoryLimits) {
        self.limits = limits;
        self.make_room();
    }

    fn make_room(&mut self) {
        for (queue, limit) in [(&mut self.closes, self.limits.closes), (&mut self.errors, self.limits.errors)]
        {
            while queue.reports.len() > limit {
                queue.pop();
                queue.pushed_out.count += 1;
            }
        }
        while self.closes.bytes + self.errors.bytes > self.limits.bytes {
            self.pop_oldest();
        }
    }

    /// Drops the reports that are too old at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64) {
        let age_ns = u64::try_from(self.limits.age.as_nanos()).unwrap_or(u64::MAX);
        let Some(from_ns) = now_ns.checked_sub(age_ns) else { return };
        for queue in [&mut self.closes, &mut self.errors] {
            while queue.oldest_ns().is_some_and(|ns| ns < from_ns) {
                queue.pop();
                queue.pushed_out.age += 1;
            }
        }
    }

    fn pop_oldest(&mut self) {
        let close_ns = self.closes.oldest_ns().unwrap_or(u64::MAX);
        let error_ns = self.errors.oldest_ns().unwrap_or(u64::MAX);
        let oldest = if close_ns <= error_ns { &mut self.closes } else { &mut self.errors };
        oldest.pop();
        oldest.pushed_out.bytes += 1;
    }

    /// How much of the limits is in use.
    #[must_use]
    pub fn usage(&self) -> HistoryUsage {
        let oldest_ns = [self.closes.oldest_ns(), self.errors.oldest_ns()].into_iter().flatten().min();
        let (closes, errors) = (self.closes.pushed_out, self.errors.pushed_out);
        HistoryUsage {
            closes: self.closes.reports.len(),
            errors: self.errors.reports.len(),
            bytes: self.closes.bytes + self.errors.bytes,
            oldest_ns,
            pushed_out: PushedOut {
                count: closes.count + errors.count,
                age: closes.age + errors.age,
                bytes: closes.bytes + errors.bytes,
            },
            limits: self.limits,
        }
    }

    /// Time of the oldest report of a kind (`CLOCK_MONOTONIC`, ns; None without any), and how many older ones were
    /// dropped.
    #[must_use]
    pub fn range(&self, kind: ReportKind) -> (Option<u64>, PushedOut) {
        let queue = match kind {
            ReportKind::Close => &self.closes,
            ReportKind::WriteError => &self.errors,
        };
        (queue.oldest_ns(), queue.pushed_out)
    }

    /// The newest `limit` reports of a kind that are selected, oldest first, and whether there are more.
    pub fn newest(
        &mut self,
        kind: ReportKind,
        wanted: &Selection,
        limit: usize,
    ) -> (Vec<PackedReport>, bool) {
        let Self { closes, errors, cgroups, .. } = self;
        let queue = match kind {
            ReportKind::Close => closes,
            ReportKind::WriteError => errors,
        };
        let mut newest_first = queue.reports.iter().rev().filter(|report| report.is_wanted(wanted, cgroups));
        let mut found: Vec<_> = newest_first.by_ref().take(limit).cloned().collect();
        let more = newest_first.next().is_some();
        // Some reports wait until their process is known, so the order of reporting differs from that of time.
        found.sort_by_key(|report| report.ns);
        (found, more)
    }

    /// Our FINs of `wanted` connections with the cause `closed_first` since `since_ns` (`CLOCK_MONOTONIC`, ns): the
    /// kernel may still wait for the peer's FIN. Of several closes between the same ends the newest counts. At most
    /// 10,000.
    #[must_use]
    pub fn fins(&self, since_ns: u64, mut wanted: impl FnMut(&Endpoints) -> bool) -> Fins {
        let mut fins = Fins::new();
        // The queue has the order of reporting, which differs from that of time by a fraction of a second only.
        let newest_first = self.closes.reports.iter().rev().take_while(|report| report.ns >= since_ns);
        for report in newest_first {
            let is_wanted = report.head().is_some_and(|head| {
                head.cause == Cause::ClosedFirst
                    && wanted(&head.endpoints)
                    && !fins.contains_key(&head.endpoints)
            });
            if is_wanted {
                fins.extend(report.verdict().and_then(|verdict| Fin::of_verdict(&verdict)));
            }
            if fins.len() >= MAX_FINS {
                break;
            }
        }
        fins
    }
}

#[cfg(test)]
mod tests;
