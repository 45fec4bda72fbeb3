//! One network namespace: the kernel's counters against the reports, since the first sample. Pure.

use std::collections::BTreeMap;

use super::counters::Counters;

/// The kernel counts some microseconds before or after a report's time. An event this close to a sample may therefore
/// be on either side of it.
const EDGE_NS: u64 = 5_000_000;

/// Reports are kept per millisecond until every later sample must include them.
const BUCKET_NS: u64 = 1_000_000;

/// Most buckets: about a minute of reports in every millisecond. Samples come far more often.
const BUCKETS: usize = 65_536;

/// The kernel's counters of one namespace, read between two moments (`CLOCK_MONOTONIC`, ns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Time before the first file was read.
    pub start_ns: u64,
    /// Time after the last file was read.
    pub end_ns: u64,
    /// The values.
    pub counters: Counters,
}

/// The reports up to a reading, at least and at most: a report near the reading may belong to either side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reported {
    least: Counters,
    most: Counters,
}

/// The reading that later ones are compared with, and the reports up to it.
#[derive(Debug, Clone, Copy)]
struct Base {
    kernel: Counters,
    reported: Reported,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Sum of all reports before `recent`.
    settled: Counters,
    /// Reports by millisecond.
    recent: BTreeMap<u64, Counters>,
    base: Option<Base>,
    /// Time of the first sample; `CLOCK_MONOTONIC`, ns.
    pub(super) since_ns: u64,
    /// Kernel minus reported at the last comparison.
    last: Counters,
    /// The part of kernel minus reported on which two comparisons in a row agree.
    pub(super) difference: Counters,
    /// Reports up to this time may be missing; `CLOCK_MONOTONIC`, ns.
    forgotten_ns: u64,
}

impl Ledger {
    /// Notes that a report of this time says that the kernel has counted `moved`.
    pub(super) fn note(&mut self, ns: u64, moved: Counters) {
        *self.recent.entry(ns / BUCKET_NS).or_default() += moved;
        if self.recent.len() > BUCKETS {
            self.forget();
        }
    }

    /// Drops everything; the next reading starts anew.
    fn forget(&mut self) {
        let latest = self.recent.keys().next_back().copied().unwrap_or_default();
        let forgotten_ns = (latest + 1).saturating_mul(BUCKET_NS);
        *self = Self { forgotten_ns, ..Self::default() };
    }

    /// Whether there is a base to compare with.
    pub(super) const fn has_begun(&self) -> bool {
        self.base.is_some()
    }

    /// Whether there is a report at or after this time.
    pub(super) fn has_reports_since(&self, ns: u64) -> bool {
        self.recent.range(ns / BUCKET_NS..).next().is_some()
    }

    /// Makes a reading the base. False if reports that belong to it may be missing.
    pub(super) fn begin(&mut self, reading: &Reading) -> bool {
        if reading.start_ns.saturating_sub(EDGE_NS) <= self.forgotten_ns {
            return false;
        }
        self.base = Some(Base { kernel: reading.counters, reported: self.reported(reading) });
        self.since_ns = reading.start_ns;
        (self.last, self.difference) = (Counters::default(), Counters::default());
        self.settle(reading);
        true
    }

    /// Drops the base.
    pub(super) fn end(&mut self) {
        self.base = None;
        self.difference = Counters::default();
    }

    /// Compares a reading. All reports up to it must have been noted.
    pub(super) fn compare(&mut self, reading: &Reading) {
        let Some(base) = self.base else { return };
        let reported = self.reported(reading);
        let counted = reading.counters - base.kernel;
        let least = reported.least - base.reported.most;
        let most = reported.most - base.reported.least;
        let beyond = counted.zip(most, |counted, most| (counted - most).max(0));
        let short = counted.zip(least, |counted, least| (counted - least).min(0));
        let now = beyond + short;
        self.difference = self.last.zip(now, confirmed);
        self.last = now;
        // A base without reports near it is sharper. Changing it loses nothing, because there is no difference now.
        let doubt = |reported: Reported| reported.most - reported.least;
        if now.is_zero() && doubt(reported).is_zero() && !doubt(base.reported).is_zero() {
            self.base = Some(Base { kernel: reading.counters, reported });
        }
        self.settle(reading);
    }

    fn reported(&self, reading: &Reading) -> Reported {
        let (before, after) = edges(reading);
        let sum = |counters: Counters, (_, moved): (&u64, &Counters)| counters + *moved;
        let least = self.recent.range(..before).fold(self.settled, sum);
        let most = self.recent.range(before..=after).fold(least, sum);
        Reported { least, most }
    }

    /// Sums up the reports before this reading, which are before all later readings too.
    fn settle(&mut self, reading: &Reading) {
        let (before, _) = edges(reading);
        let rest = self.recent.split_off(&before);
        let settled = std::mem::replace(&mut self.recent, rest);
        self.settled = settled.into_values().fold(self.settled, |sum, moved| sum + moved);
    }
}

/// The first and the last bucket that may be on either side of a reading.
fn edges(reading: &Reading) -> (u64, u64) {
    let before = reading.start_ns.saturating_sub(EDGE_NS) / BUCKET_NS;
    (before, reading.end_ns.saturating_add(EDGE_NS) / BUCKET_NS)
}

/// The part on which two differences in a row agree; zero if their signs differ.
fn confirmed(before: i64, now: i64) -> i64 {
    if before.signum() == now.signum() { now.signum() * before.abs().min(now.abs()) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{super::counters::Counter, *};

    const SECOND: u64 = 1_000_000_000;

    fn resets(number: i64) -> Counters {
        (0..number).fold(Counters::default(), |sum, _| sum + Counters::moved(&[Counter::OutRsts]))
    }

    fn reading(at_ns: u64, counted: i64) -> Reading {
        Reading { start_ns: at_ns, end_ns: at_ns + 100_000, counters: resets(counted) }
    }

    fn begun(counted: i64) -> Ledger {
        let mut ledger = Ledger::default();
        assert!(ledger.begin(&reading(SECOND, counted)));
        ledger
    }

    fn differs(ledger: &mut Ledger, at_ns: u64, counted: i64) -> i64 {
        ledger.compare(&reading(at_ns, counted));
        ledger.difference.at(Counter::OutRsts)
    }

    #[test]
    fn counts_before_the_first_reading_do_not_matter() {
        let mut ledger = Ledger::default();
        ledger.note(SECOND / 2, resets(5));
        assert!(ledger.begin(&reading(SECOND, 1000)));
        ledger.note(3 * SECOND / 2, resets(2));
        for at in 2..5 {
            assert_eq!(differs(&mut ledger, at * SECOND, 1002), 0);
        }
    }

    #[test]
    fn a_missing_report_shows_once_two_comparisons_agree() {
        let mut ledger = begun(0);
        ledger.note(3 * SECOND / 2, resets(1));
        assert_eq!(differs(&mut ledger, 2 * SECOND, 3), 0);
        assert_eq!(differs(&mut ledger, 3 * SECOND, 3), 2);
        // A report of an event that the kernel did not count is a difference too.
        ledger.note(7 * SECOND / 2, resets(4));
        assert_eq!(differs(&mut ledger, 4 * SECOND, 3), 0);
        assert_eq!(differs(&mut ledger, 5 * SECOND, 3), -2);
    }

    #[test]
    fn a_transient_difference_does_not_show() {
        let mut ledger = begun(0);
        assert_eq!(differs(&mut ledger, 2 * SECOND, 1), 0);
        ledger.note(2 * SECOND + 100 * BUCKET_NS, resets(2));
        assert_eq!(differs(&mut ledger, 3 * SECOND, 1), 0);
        assert_eq!(differs(&mut ledger, 4 * SECOND, 2), 0);
        assert_eq!(differs(&mut ledger, 5 * SECOND, 2), 0);
    }

    #[test]
    fn an_event_near_a_reading_may_belong_to_either_side() {
        for (counted_first, moved_ns) in [(0, 1), (1, 1), (0, 2 * BUCKET_NS), (1, 2 * BUCKET_NS)] {
            let mut ledger = Ledger::default();
            ledger.note(SECOND + moved_ns, resets(1));
            assert!(ledger.begin(&reading(SECOND, counted_first)));
            for at in 2..5 {
                assert_eq!(differs(&mut ledger, at * SECOND, 1), 0);
            }
            // The doubt ends at a reading without an event near it.
            differs(&mut ledger, 5 * SECOND, 2);
            assert_eq!(differs(&mut ledger, 6 * SECOND, 2), 1);
        }
    }

    #[test]
    fn memory_is_bounded_and_forgotten_reports_make_no_difference() {
        let mut ledger = begun(0);
        for bucket in 0..=BUCKETS as u64 {
            ledger.note(2 * SECOND + bucket * BUCKET_NS, resets(1));
        }
        assert!(!ledger.has_begun());
        assert!(ledger.recent.is_empty());
        assert!(!ledger.begin(&reading(3 * SECOND, 500)));
        let later = 2 * SECOND + (BUCKETS as u64 + 100) * BUCKET_NS;
        assert!(ledger.begin(&reading(later, 70_000)));
        assert_eq!(differs(&mut ledger, later + SECOND, 70_000), 0);
        // Settled reports need no bucket.
        ledger.note(later + 2 * SECOND, resets(1));
        differs(&mut ledger, later + 3 * SECOND, 70_001);
        assert_eq!(ledger.recent.len(), 0);
    }
}
