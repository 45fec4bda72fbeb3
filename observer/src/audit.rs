//! The self-audit: it compares the reports with the kernel's own counters, all the time and in every network namespace
//! that has a process.
//!
//! In: reports, and samples of the kernel's counters from a thread of its own (`sampler`). Out: the differences; zero
//! is the promise. `expected` says which counters a report must have moved, `ledger` compares one namespace, and
//! `comparison` keeps all of them.
//!
//! A counter moves when a connection ends, and the report comes up to half a second later. So a sample is compared once
//! all reports up to its time have come. A namespace is compared from its first sample on; earlier events do not count.

mod comparison;
pub mod counters;
pub mod expected;
pub mod ledger;
mod not_comparable;
mod sampler;
mod summary;

use std::{io, sync::mpsc::TryRecvError, time::Duration};

pub use self::summary::{Difference, Differing, Summary};
use self::{
    comparison::Comparison,
    counters::{Counter, Counters},
    expected::expected,
    sampler::Sampler,
};
use crate::{attach::plan::Plan, report::Report};

/// How often the kernel's counters are sampled.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Pause after a sample.
    interval: Duration,
    /// The pause is at least this many times as long as the sample took.
    pause_factor: u32,
}

impl Default for Pace {
    /// Often enough for an alert, and at most 2 % of a CPU, however many processes the host has.
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), pause_factor: 50 }
    }
}

impl Pace {
    /// A sample per interval, whatever it costs.
    #[must_use]
    pub const fn often(interval: Duration) -> Self {
        Self { interval, pause_factor: 1 }
    }
}

/// Most namespaces that are compared.
const MAX_NAMESPACES: usize = 1024;

/// The comparison of one namespace at one sample. At its first sample there is no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The namespace.
    pub netns: u32,
    /// Time of the sample; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Time of the first sample; `CLOCK_MONOTONIC`, ns.
    pub since_ns: u64,
    /// Kernel minus reported.
    pub difference: Counters,
    /// The difference has changed since the last sample, or this is the first.
    pub is_new: bool,
}

/// The comparison, and the thread that samples.
pub struct Audit {
    sampler: Sampler,
    comparison: Comparison,
}

impl Audit {
    /// Starts to sample, at once and then at this pace, and waits for the first sample. Events after that sample are
    /// compared, except for counters that the hooks of this plan cannot account for.
    pub fn start(pace: Pace, plan: &Plan) -> io::Result<Self> {
        let sampler = Sampler::start(pace)?;
        let mut comparison = Comparison::new(not_comparable::not_comparable(plan));
        if let Ok(sample) = sampler.samples.recv() {
            comparison.take(sample, &mut |_| ());
        }
        Ok(Self { sampler, comparison })
    }

    /// Notes the counters that a report says the kernel has moved.
    pub fn report(&mut self, report: &Report) {
        if let Some((netns, ns, moved)) = expected(report) {
            self.comparison.note(netns, ns, moved);
        }
    }

    /// Takes new samples and compares those that are due. `passed_ns` is the time (`CLOCK_MONOTONIC`, ns) up to which
    /// all records have been read and reported. Calls `emit` per compared namespace. Never waits. True if the summary
    /// may have changed.
    pub fn poll(&mut self, passed_ns: u64, emit: &mut impl FnMut(&Compared)) -> bool {
        let mut changed = false;
        loop {
            match self.sampler.samples.try_recv() {
                Ok(sample) => self.comparison.take(sample, emit),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    changed |= self.comparison.failed.is_none();
                    self.comparison.fail("the thread that reads them has ended".to_owned());
                    break;
                }
            }
            changed = true;
        }
        self.comparison.compare(passed_ns, emit) || changed
    }

    /// The current result.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.comparison.summary()
    }

    /// Counters that cannot be compared.
    #[must_use]
    pub fn not_comparable(&self) -> Vec<Counter> {
        self.comparison.not_comparable.iter().map(|(counter, _)| *counter).collect()
    }
}
