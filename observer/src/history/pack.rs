//! Reports in few bytes, packed with [postcard](https://docs.rs/postcard), a compact binary format for serde.
//!
//! The first fields of a verdict are those that queries compare, so that a query reads only these.

use std::sync::Arc;

use serde::Serialize;

use super::Selection;
use crate::{
    classify::verdict::{Head, Verdict},
    filter::{Failed, Subject},
    owner::Cgroups,
    report::{Report, WriteFailure},
};

/// The kinds of reports that are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// A connection has ended.
    Close,
    /// A send failed.
    WriteError,
}

/// A packed report; cheap to clone.
#[derive(Debug, Clone)]
pub struct PackedReport {
    /// Time of the event; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the process's cgroup; 0 for none.
    pub(super) cgroup: u64,
    /// Its kind.
    pub kind: ReportKind,
    data: Arc<[u8]>,
}

/// Memory besides the data, bytes: the two counts of its `Arc`, and a word of the allocator.
const ALLOCATION: usize = 24;

/// Packs on the stack, where nearly every value fits: a growing vector would cost as much as the packing.
fn pack<T: Serialize>(value: &T) -> Option<Arc<[u8]>> {
    let mut scratch = [0; 512];
    match postcard::to_slice(value, &mut scratch) {
        Ok(bytes) => Some(Arc::from(&*bytes)),
        Err(_) => Some(postcard::to_allocvec(value).ok()?.into()),
    }
}

impl PackedReport {
    /// Packs a report. None for a kind that is not remembered.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        // Packing plain data fails only without memory, and then the process aborts.
        let (kind, ns, data) = match report {
            Report::Close(verdict) => (ReportKind::Close, verdict.head.ns, pack(verdict.as_ref())?),
            Report::WriteError(failure) => (ReportKind::WriteError, failure.ns, pack(failure)?),
            Report::StrayReset(_) | Report::LingerExpired(_) => return None,
        };
        let cgroup = report.process().map_or(0, |task| task.cgroup);
        Some(Self { ns, cgroup, kind, data })
    }

    /// Memory in use, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + ALLOCATION + self.data.len()
    }

    /// The first fields of a close; None for another kind.
    #[must_use]
    pub fn head(&self) -> Option<Head<&str>> {
        if self.kind != ReportKind::Close {
            return None;
        }
        postcard::take_from_bytes(&self.data).ok().map(|(head, _rest)| head)
    }

    /// The whole close; None for another kind.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        if self.kind == ReportKind::Close { postcard::from_bytes(&self.data).ok() } else { None }
    }

    /// The failed send; None for another kind.
    #[must_use]
    pub fn failure(&self) -> Option<WriteFailure> {
        if self.kind == ReportKind::WriteError { postcard::from_bytes(&self.data).ok() } else { None }
    }

    /// The report that was packed.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        match self.kind {
            ReportKind::Close => Some(Report::Close(Box::new(self.verdict()?))),
            ReportKind::WriteError => self.failure().map(Report::WriteError),
        }
    }

    /// Whether the selection includes it.
    #[must_use]
    pub fn is_wanted(&self, wanted: &Selection, cgroups: &mut Cgroups) -> bool {
        if self.ns < wanted.since_ns {
            return false;
        }
        if wanted.filter.is_empty() {
            return true;
        }
        match self.kind {
            ReportKind::Close => {
                self.head().is_some_and(|head| wanted.filter.fits_subject(&head.subject(), cgroups))
            }
            ReportKind::WriteError => self
                .failure()
                .is_some_and(|failure| wanted.filter.fits_subject(&Subject::of_failure(&failure), cgroups)),
        }
    }
}

impl<I> Head<I> {
    /// The parts that a filter compares.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            endpoints: &self.endpoints,
            process: self.process.as_ref(),
            outcome: Some(self.outcome.word()),
            cause: Some(self.cause.word()),
            failed: Failed::Some(&self.write_errors),
        }
    }
}
