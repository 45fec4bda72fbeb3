//! What was reported, against what the kernel counted: all the time, in every network namespace that has a process.
//!
//! Comes in: reports, and samples of the kernel's counters from a thread of its own (`sampler`). Goes out: by how
//! much they differ. Zero is the promise. `expected` says what each report must have moved; `ledger` compares.
//!
//! Counters move when a connection ends, reports come up to half a second later. A sample is compared once all reports
//! up to its time have come. A namespace counts from its first sample on; what happened in it before is not compared.

mod blind;
pub mod counters;
pub mod expected;
pub mod ledger;
mod sampler;
mod summary;

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::mpsc::TryRecvError,
    time::Duration,
};

use rustc_hash::FxHashMap;

pub use self::summary::{Difference, Differing, Summary};
use self::{
    counters::{Counter, Counters},
    expected::expected,
    ledger::Ledger,
    sampler::{Sample, Sampler, Seen, Witness},
};
use crate::{
    attach::plan::Plan,
    report::Report,
    story::table::{GRACE_NS, SETTLE_NS},
};

/// How often the kernel's counters are sampled.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the end of a sample to the next.
    interval: Duration,
    /// A sample that took long is followed by so many times its length without one.
    rest: u32,
}

impl Default for Pace {
    /// Soon enough for an alert, and 2 % of a CPU at most, however many processes the host has.
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), rest: 50 }
    }
}

impl Pace {
    /// As often as somebody asks for, whatever it costs.
    #[must_use]
    pub const fn often(interval: Duration) -> Self {
        Self { interval, rest: 1 }
    }
}

/// Namespaces that are compared at most.
const LIMIT: usize = 1024;

/// Namespaces with a difference that are told one by one.
const SHOWN: usize = 16;

/// By then a report has come: the story table waits for a process, and once more for a reset (`story::table`).
const REPORTED_NS: u64 = 2 * GRACE_NS + 2 * SETTLE_NS;

/// One namespace, compared. At its first sample nothing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The namespace.
    pub netns: u32,
    /// Time of the sample; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Time of the first sample.
    pub since_ns: u64,
    /// Kernel minus reported.
    pub difference: Counters,
    /// It is not what it was at the sample before.
    pub is_new: bool,
}

/// The comparison, and the thread that samples.
pub struct Audit {
    sampler: Sampler,
    books: Books,
}

impl Audit {
    /// Begins to sample, at once and then at this pace, and waits for the first sample: what happens from then on is
    /// compared, as far as this plan lets us see it.
    pub fn start(pace: Pace, plan: &Plan) -> io::Result<Self> {
        let sampler = Sampler::start(pace)?;
        let mut books = Books::new(blind::blind(plan));
        if let Ok(sample) = sampler.samples.recv() {
            books.take(sample, &mut |_| ());
        }
        Ok(Self { sampler, books })
    }

    /// Notes a report.
    pub fn report(&mut self, report: &Report) {
        if let Some((netns, ns, moved)) = expected(report) {
            self.books.note(netns, ns, moved);
        }
    }

    /// Compares the samples of which all has been reported, given the time up to which everything has been taken from
    /// the kernel and told. Never waits. True when it may have changed something.
    pub fn poll(&mut self, passed_ns: u64, tell: &mut impl FnMut(&Compared)) -> bool {
        let mut news = false;
        loop {
            match self.sampler.samples.try_recv() {
                Ok(sample) => self.books.take(sample, tell),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    news |= self.books.failed.is_none();
                    self.books.fail("the thread that reads them has ended".to_owned());
                    break;
                }
            }
            news = true;
        }
        self.books.compare(passed_ns, tell) || news
    }

    /// How it stands.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.books.summary()
    }

    /// Counters that cannot be compared.
    #[must_use]
    pub fn not_comparable(&self) -> Vec<Counter> {
        self.books.blind.iter().map(|(counter, _)| *counter).collect()
    }
}

/// What is known of every namespace. No clock, no I/O.
struct Books {
    blind: Vec<(Counter, String)>,
    ledgers: FxHashMap<u32, Ledger>,
    /// Reports of namespaces that had no room are not older than this.
    crowded_ns: u64,
    /// Of the latest sample, the processes in each namespace.
    witnesses: HashMap<u32, Vec<Witness>>,
    /// Samples whose reports may not all have come.
    waiting: VecDeque<PendingSample>,
    left_out: usize,
    hidden: usize,
    failed: Option<String>,
}

/// A sample to be compared.
struct PendingSample {
    at_ns: u64,
    /// With those that were not in the sample before, or may be another namespace of the same number.
    seen: Vec<(Seen, bool)>,
}

impl Books {
    fn new(blind: Vec<(Counter, String)>) -> Self {
        Self {
            blind,
            ledgers: FxHashMap::default(),
            crowded_ns: 0,
            witnesses: HashMap::new(),
            waiting: VecDeque::new(),
            left_out: 0,
            hidden: 0,
            failed: None,
        }
    }

    fn note(&mut self, netns: u32, ns: u64, moved: Counters) {
        // 0 is nobody's number: where the report does not say.
        if netns == 0 || self.failed.is_some() {
            return;
        }
        // A namespace that is not known yet may be in the next sample.
        if self.ledgers.len() >= LIMIT && !self.ledgers.contains_key(&netns) {
            self.crowded_ns = self.crowded_ns.max(ns);
            return;
        }
        self.ledgers.entry(netns).or_default().note(ns, moved);
    }

    /// Takes a sample over. It is compared later, but namespaces that begin with it are told now.
    fn take(&mut self, sample: io::Result<Sample>, tell: &mut impl FnMut(&Compared)) {
        let sample = match sample {
            Ok(sample) => sample,
            Err(error) => return self.fail(format!("/proc cannot be read: {error}")),
        };
        self.failed = None;
        (self.left_out, self.hidden) = (sample.left_out, sample.hidden);
        let mut before = std::mem::take(&mut self.witnesses);
        let mut due = PendingSample { at_ns: 0, seen: Vec::with_capacity(sample.seen.len()) };
        for seen in sample.seen {
            let known = before.remove(&seen.netns).unwrap_or_default();
            let is_new = !seen.witnesses.iter().any(|witness| known.contains(witness));
            self.witnesses.insert(seen.netns, seen.witnesses.clone());
            due.at_ns = due.at_ns.max(seen.reading.end_ns + REPORTED_NS);
            if is_new {
                let ns = seen.reading.start_ns;
                let difference = Counters::default();
                tell(&Compared { netns: seen.netns, ns, since_ns: ns, difference, is_new });
            }
            due.seen.push((seen, is_new));
        }
        self.waiting.push_back(due);
    }

    /// Forgets everything: without samples nothing would ever be settled. The next one begins anew.
    fn fail(&mut self, why: String) {
        let blind = std::mem::take(&mut self.blind);
        *self = Self { failed: Some(why), ..Self::new(blind) };
    }

    /// Compares what is due. True when something was.
    fn compare(&mut self, passed_ns: u64, tell: &mut impl FnMut(&Compared)) -> bool {
        let mut compared = false;
        while let Some(due) = self.waiting.pop_front_if(|due| due.at_ns <= passed_ns) {
            compared = true;
            let oldest_ns = due.seen.iter().map(|(seen, _)| seen.reading.start_ns).min().unwrap_or_default();
            let there: FxHashMap<u32, &Seen> = due.seen.iter().map(|(seen, _)| (seen.netns, seen)).collect();
            self.ledgers.retain(|netns, ledger| {
                if !there.contains_key(netns) {
                    ledger.end();
                }
                there.contains_key(netns) || ledger.has_reports_since(oldest_ns)
            });
            for (seen, is_new) in &due.seen {
                self.compare_one(seen, *is_new, tell);
            }
        }
        compared
    }

    fn compare_one(&mut self, seen: &Seen, is_new: bool, tell: &mut impl FnMut(&Compared)) {
        let reading = &seen.reading;
        let has_room = self.ledgers.len() < LIMIT || self.ledgers.contains_key(&seen.netns);
        if !has_room {
            self.left_out += 1;
            return;
        }
        let ledger = self.ledgers.entry(seen.netns).or_default();
        if is_new || !ledger.has_begun() {
            ledger.end();
            if reading.start_ns <= self.crowded_ns || !ledger.begin(reading) {
                self.left_out += 1;
            }
            return;
        }
        let before = ledger.difference;
        ledger.compare(reading);
        let (difference, since_ns) = (comparable(ledger.difference, &self.blind), ledger.since_ns);
        let is_new = comparable(before, &self.blind) != difference;
        tell(&Compared { netns: seen.netns, ns: reading.start_ns, since_ns, difference, is_new });
    }

    fn summary(&self) -> Summary {
        let is_blind = |counter: &Counter| self.blind.iter().any(|(blind, _)| blind == counter);
        let begun = || self.ledgers.iter().filter(|(_, ledger)| ledger.has_begun());
        let counters = Counter::ALL.iter().filter(|counter| !is_blind(counter)).map(|counter| {
            let of_each = || begun().map(|(_, ledger)| ledger.difference.at(*counter));
            Difference {
                counter: counter.word().to_owned(),
                not_reported: of_each().filter(|by| *by > 0).map(i64::unsigned_abs).sum(),
                not_counted: of_each().filter(|by| *by < 0).map(i64::unsigned_abs).sum(),
            }
        });
        let mut differing: Vec<_> = begun()
            .filter_map(|(netns, ledger)| {
                let difference = comparable(ledger.difference, &self.blind);
                let differences = difference.iter().filter(|(_, by)| *by != 0);
                let differences: Vec<_> =
                    differences.map(|(counter, by)| (counter.word().to_owned(), by)).collect();
                (!differences.is_empty()).then_some(Differing { netns: *netns, differences })
            })
            .collect();
        differing.sort_by_key(|differing| differing.netns);
        differing.truncate(SHOWN);
        let not_comparable = self.blind.iter().map(|(counter, why)| (counter.word().to_owned(), why.clone()));
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

/// Without the counters that cannot be compared.
fn comparable(difference: Counters, blind: &[(Counter, String)]) -> Counters {
    blind.iter().fold(difference, |difference, (counter, _)| difference.without(*counter))
}

#[cfg(test)]
mod tests;
