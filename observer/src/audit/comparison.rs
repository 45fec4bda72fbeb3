//! Samples and reports of every namespace → their differences. No clock, no I/O.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Compared, MAX_NAMESPACES,
    counters::{Counter, Counters},
    ledger::Ledger,
    sampler::{NamespaceSample, ProcessIdentity, Sample},
    summary::{Difference, Differing, Summary},
};
use crate::story::table::{GRACE_NS, SETTLE_NS};

/// Differing namespaces that the summary lists.
const MAX_DIFFERING: usize = 16;

/// A report comes at most this long after its event. The story table waits for a process, and then once more for a
/// reset (`story::table`).
const REPORTED_NS: u64 = 2 * GRACE_NS + 2 * SETTLE_NS;

/// The comparison of all namespaces.
pub(super) struct Comparison {
    /// Counters that cannot be compared, with the reason.
    pub(super) not_comparable: Vec<(Counter, String)>,
    ledgers: FxHashMap<u32, Ledger>,
    /// Time of the latest report that was dropped because its namespace had no ledger; `CLOCK_MONOTONIC`, ns.
    dropped_ns: u64,
    /// Processes in each namespace, from the latest sample.
    processes: HashMap<u32, Vec<ProcessIdentity>>,
    /// Samples for which reports may still come.
    pending: VecDeque<PendingSample>,
    left_out: usize,
    hidden: usize,
    pub(super) failed: Option<String>,
}

/// A sample that is compared later.
struct PendingSample {
    /// Time from which it can be compared; `CLOCK_MONOTONIC`, ns.
    due_ns: u64,
    /// Each namespace, and whether it is new: not in the sample before, or another namespace with the same number.
    namespaces: Vec<(NamespaceSample, bool)>,
}

impl Comparison {
    pub(super) fn new(not_comparable: Vec<(Counter, String)>) -> Self {
        Self {
            not_comparable,
            ledgers: FxHashMap::default(),
            dropped_ns: 0,
            processes: HashMap::new(),
            pending: VecDeque::new(),
            left_out: 0,
            hidden: 0,
            failed: None,
        }
    }

    /// Notes that a report of this time says that the kernel has counted `moved`.
    pub(super) fn note(&mut self, netns: u32, ns: u64, moved: Counters) {
        // The report does not name its namespace.
        if netns == 0 || self.failed.is_some() {
            return;
        }
        // A namespace without a ledger gets one here, because it may be in the next sample.
        if self.ledgers.len() >= MAX_NAMESPACES && !self.ledgers.contains_key(&netns) {
            self.dropped_ns = self.dropped_ns.max(ns);
            return;
        }
        self.ledgers.entry(netns).or_default().note(ns, moved);
    }

    /// Takes a sample, to be compared later. Calls `emit` now for the namespaces that begin with it.
    pub(super) fn take(&mut self, sample: io::Result<Sample>, emit: &mut impl FnMut(&Compared)) {
        let sample = match sample {
            Ok(sample) => sample,
            Err(error) => return self.fail(format!("/proc cannot be read: {error}")),
        };
        self.failed = None;
        (self.left_out, self.hidden) = (sample.left_out, sample.hidden);
        let mut before = std::mem::take(&mut self.processes);
        let mut pending =
            PendingSample { due_ns: 0, namespaces: Vec::with_capacity(sample.namespaces.len()) };
        for namespace in sample.namespaces {
            let known = before.remove(&namespace.netns).unwrap_or_default();
            let is_new = !namespace.processes.iter().any(|process| known.contains(process));
            self.processes.insert(namespace.netns, namespace.processes.clone());
            pending.due_ns = pending.due_ns.max(namespace.reading.end_ns + REPORTED_NS);
            if is_new {
                let ns = namespace.reading.start_ns;
                let difference = Counters::default();
                emit(&Compared { netns: namespace.netns, ns, since_ns: ns, difference, is_new });
            }
            pending.namespaces.push((namespace, is_new));
        }
        self.pending.push_back(pending);
    }

    /// Forgets everything, because without samples the ledgers would only grow. The next sample starts anew.
    pub(super) fn fail(&mut self, why: String) {
        let not_comparable = std::mem::take(&mut self.not_comparable);
        *self = Self { failed: Some(why), ..Self::new(not_comparable) };
    }

    /// Compares the samples that are due, given that everything up to `passed_ns` has been reported. True if there was
    /// one.
    pub(super) fn compare(&mut self, passed_ns: u64, emit: &mut impl FnMut(&Compared)) -> bool {
        let mut compared = false;
        while let Some(due) = self.pending.pop_front_if(|sample| sample.due_ns <= passed_ns) {
            compared = true;
            let starts = due.namespaces.iter().map(|(namespace, _)| namespace.reading.start_ns);
            let oldest_ns = starts.min().unwrap_or_default();
            let sampled: FxHashSet<u32> =
                due.namespaces.iter().map(|(namespace, _)| namespace.netns).collect();
            self.ledgers.retain(|netns, ledger| {
                if !sampled.contains(netns) {
                    ledger.end();
                }
                sampled.contains(netns) || ledger.has_reports_since(oldest_ns)
            });
            for (namespace, is_new) in &due.namespaces {
                self.compare_one(namespace, *is_new, emit);
            }
        }
        compared
    }

    fn compare_one(&mut self, sample: &NamespaceSample, is_new: bool, emit: &mut impl FnMut(&Compared)) {
        let NamespaceSample { netns, reading, .. } = sample;
        let has_room = self.ledgers.len() < MAX_NAMESPACES || self.ledgers.contains_key(netns);
        if !has_room {
            self.left_out += 1;
            return;
        }
        let ledger = self.ledgers.entry(*netns).or_default();
        if is_new || !ledger.has_begun() {
            ledger.end();
            if reading.start_ns <= self.dropped_ns || !ledger.begin(reading) {
                self.left_out += 1;
            }
            return;
        }
        let before = ledger.difference;
        ledger.compare(reading);
        let (difference, since_ns) = (comparable(ledger.difference, &self.not_comparable), ledger.since_ns);
        let is_new = comparable(before, &self.not_comparable) != difference;
        emit(&Compared { netns: *netns, ns: reading.start_ns, since_ns, difference, is_new });
    }

    pub(super) fn summary(&self) -> Summary {
        let is_compared =
            |counter: &Counter| self.not_comparable.iter().all(|(left_out, _)| left_out != counter);
        let begun = || self.ledgers.iter().filter(|(_, ledger)| ledger.has_begun());
        let counters = Counter::ALL.iter().filter(|counter| is_compared(counter)).map(|counter| {
            let of_each = || begun().map(|(_, ledger)| ledger.difference.at(*counter));
            Difference {
                counter: counter.word().to_owned(),
                not_reported: of_each().filter(|by| *by > 0).map(i64::unsigned_abs).sum(),
                not_counted: of_each().filter(|by| *by < 0).map(i64::unsigned_abs).sum(),
            }
        });
        let mut differing: Vec<_> = begun()
            .filter_map(|(netns, ledger)| {
                let difference = comparable(ledger.difference, &self.not_comparable);
                let differences = difference.iter().filter(|(_, by)| *by != 0);
                let differences: Vec<_> =
                    differences.map(|(counter, by)| (counter.word().to_owned(), by)).collect();
                (!differences.is_empty()).then_some(Differing { netns: *netns, differences })
            })
            .collect();
        differing.sort_by_key(|differing| differing.netns);
        differing.truncate(MAX_DIFFERING);
        let not_comparable =
            self.not_comparable.iter().map(|(counter, why)| (counter.word().to_owned(), why.clone()));
        Summary {
            namespaces: begun().count(),
            left_out: self.left_out,
            hidden: self.hidden,
            counters: counters.collect(),
            not_comparable: not_comparable.collect(),
            differing,
            failed: self.failed.clone(),
        }
    }
}

/// The difference without the counters that cannot be compared.
fn comparable(difference: Counters, not_comparable: &[(Counter, String)]) -> Counters {
    not_comparable.iter().fold(difference, |difference, (counter, _)| difference.without(*counter))
}

#[cfg(test)]
mod tests;
