//! What the daemon remembers of the last hours: verdicts and failing writes, for those who ask later.
//!
//! Comes in: packed [`PackedReport`]s, in the order they are told. Goes out: those that fit a filter, counts of them, one
//! story. Bounded in number, age and bytes; what had to go is counted. It does no I/O and is its owner's alone: the
//! daemon keeps it in the thread that answers queries, so that no question can hold up the kernel's records.

pub mod pack;
pub mod top;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use self::pack::{Head, PackedReport, ReportKind};
use crate::{
    classify::{Cause, verdict::Verdict},
    event::Endpoints,
    filter::{AddressFilter, Filter},
    half_closed::{Fin, Fins},
    owner::Cgroups,
    report::{Report, WriteFailure},
};

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLimits {
    /// Closes.
    pub closes: usize,
    /// Failing writes.
    pub errors: usize,
    /// Bytes of memory of both together.
    pub bytes: usize,
    /// How old the oldest may be.
    pub age: Duration,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { closes: 100_000, errors: 25_000, bytes: 64 << 20, age: Duration::from_hours(24) }
    }
}

/// What was pushed out, by the limit that did it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedOut {
    /// For their number.
    pub count: u64,
    /// For their age.
    pub age: u64,
    /// For their size.
    pub bytes: u64,
}

impl PushedOut {
    /// The sum over all limits.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.count + self.age + self.bytes
    }
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Closes that are there.
    pub closes: usize,
    /// Failing writes that are there.
    pub errors: usize,
    /// Memory they take.
    pub bytes: usize,
    /// When the oldest happened; `CLOCK_MONOTONIC`, ns.
    pub oldest_ns: Option<u64>,
    /// What is not there any more.
    pub pushed_out: PushedOut,
    /// What may be there.
    pub limits: HistoryLimits,
}

/// One kind of records, oldest first.
#[derive(Default)]
struct Shelf {
    records: VecDeque<PackedReport>,
    bytes: usize,
    pushed_out: PushedOut,
}

impl Shelf {
    fn push(&mut self, record: PackedReport) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    fn pop(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.bytes();
        }
    }

    fn oldest_ns(&self) -> Option<u64> {
        Some(self.records.front()?.ns)
    }
}

/// Which records somebody asks for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What they must be.
    pub filter: Filter,
    /// Not before this; `CLOCK_MONOTONIC`, ns.
    pub since_ns: u64,
}

/// One connection's story, and the other end's where that is on this host too.
#[derive(Debug, Clone)]
pub struct Found {
    /// The one that was asked for.
    pub story: StoryWithErrors,
    /// The other end.
    pub peer: Option<StoryWithErrors>,
}

/// A verdict and the writes that failed on its connection.
#[derive(Debug, Clone)]
pub struct StoryWithErrors {
    /// How it ended.
    pub verdict: Verdict,
    /// The first of them.
    pub errors: Vec<WriteFailure>,
}

/// Which story somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// By the id of its verdict.
    Id(String),
    /// The last one between these ends; one end alone, or two in any order.
    Ends(Vec<AddressFilter>),
}

impl Which {
    /// Whether a close is meant.
    #[must_use]
    pub fn fits(&self, id: &str, endpoints: &Endpoints) -> bool {
        let Endpoints { local, remote, .. } = *endpoints;
        match self {
            Self::Id(wanted) => wanted == id,
            Self::Ends(ends) => match ends.as_slice() {
                [one] => one.fits(local) || one.fits(remote),
                [one, other] => {
                    one.fits(local) && other.fits(remote) || one.fits(remote) && other.fits(local)
                }
                _ => false,
            },
        }
    }
}

impl Which {
    /// Whether the end that is named first is the local one of these rather than of `others`.
    fn prefers(&self, these: &Endpoints, others: &Endpoints) -> bool {
        match self {
            Self::Id(_) => false,
            Self::Ends(ends) => {
                ends.first().is_some_and(|first| first.fits(these.local) && !first.fits(others.local))
            }
        }
    }
}

/// Failing writes of one connection that are told with its story: the rest says the same.
const STORY_ERRORS: usize = 8;

/// Two ends of one connection begin within this, ns: a handshake does not take longer, and ports are used again
/// later than that as a rule.
const PEER_WINDOW_NS: u64 = 60_000_000_000;

/// FINs of one answer, with a few hundred bytes each: the newest.
const FINS: usize = 10_000;

/// The last closes and failing writes.
pub struct History {
    limits: HistoryLimits,
    closes: Shelf,
    errors: Shelf,
    /// Names of cgroups, learnt while they exist.
    pub cgroups: Cgroups,
}

impl History {
    /// An empty one.
    #[must_use]
    pub fn new(limits: HistoryLimits, cgroups: Cgroups) -> Self {
        Self { limits, closes: Shelf::default(), errors: Shelf::default(), cgroups }
    }

    /// Takes one record and lets go of the oldest where it is one too many.
    pub fn note(&mut self, record: PackedReport) {
        // By the time somebody asks, the cgroup may be gone.
        self.cgroups.get(record.cgroup);
        match record.kind {
            ReportKind::Close => self.closes.push(record),
            ReportKind::WriteError => self.errors.push(record),
        }
        self.make_room();
    }

    /// Other limits from now on. What is too old for them goes with the next [`Self::expire`].
    pub fn set_limits(&mut self, limits: HistoryLimits) {
        self.limits = limits;
        self.make_room();
    }

    fn make_room(&mut self) {
        for (kept, limit) in [(&mut self.closes, self.limits.closes), (&mut self.errors, self.limits.errors)]
        {
            while kept.records.len() > limit {
                kept.pop();
                kept.pushed_out.count += 1;
            }
        }
        while self.closes.bytes + self.errors.bytes > self.limits.bytes {
            self.pop_oldest();
        }
    }

    /// Lets go of what is too old at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64) {
        let age_ns = u64::try_from(self.limits.age.as_nanos()).unwrap_or(u64::MAX);
        let Some(from_ns) = now_ns.checked_sub(age_ns) else { return };
        for shelf in [&mut self.closes, &mut self.errors] {
            while shelf.oldest_ns().is_some_and(|ns| ns < from_ns) {
                shelf.pop();
                shelf.pushed_out.age += 1;
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

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let oldest_ns = [self.closes.oldest_ns(), self.errors.oldest_ns()].into_iter().flatten().min();
        let (closes, errors) = (self.closes.pushed_out, self.errors.pushed_out);
        Fill {
            closes: self.closes.records.len(),
            errors: self.errors.records.len(),
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

    /// When the oldest report of a kind happened (`CLOCK_MONOTONIC`, ns; None without any), and how many older ones
    /// were pushed out.
    #[must_use]
    pub fn range(&self, kind: ReportKind) -> (Option<u64>, PushedOut) {
        let kept = match kind {
            ReportKind::Close => &self.closes,
            ReportKind::WriteError => &self.errors,
        };
        (kept.oldest_ns(), kept.pushed_out)
    }

    /// The newest `limit` of a kind that are wanted, oldest first, and whether there are more.
    pub fn newest(
        &mut self,
        kind: ReportKind,
        wanted: &Selection,
        limit: usize,
    ) -> (Vec<PackedReport>, bool) {
        let Self { closes, errors, cgroups, .. } = self;
        let kept = match kind {
            ReportKind::Close => closes,
            ReportKind::WriteError => errors,
        };
        let mut newest_first = kept.records.iter().rev().filter(|record| record.is_wanted(wanted, cgroups));
        let mut found: Vec<_> = newest_first.by_ref().take(limit).cloned().collect();
        let more = newest_first.next().is_some();
        // They are told in another order: some wait for their process to show itself.
        found.sort_by_key(|record| record.ns);
        (found, more)
    }

    /// The last close that is meant, with the writes that failed on it and the other end.
    #[must_use]
    pub fn story(&self, which: &Which) -> Option<Found> {
        let verdict = self.last_close(|head| which.fits(head.id, &head.endpoints))?;
        match self.peer(&verdict) {
            // The end that was named first is ours.
            Some(peer) if which.prefers(&peer.endpoints, &verdict.endpoints) => {
                Some(Found { story: self.told(peer), peer: Some(self.told(verdict)) })
            }
            peer => Some(Found { story: self.told(verdict), peer: peer.map(|peer| self.told(peer)) }),
        }
    }

    /// FINs of `wanted` connections that closed first since then (`CLOCK_MONOTONIC`, ns): the kernel may still wait for
    /// the peer's FIN. Of several closes between the same ends the newest counts. Bounded in number.
    #[must_use]
    pub fn fins(&self, since_ns: u64, mut wanted: impl FnMut(&Endpoints) -> bool) -> Fins {
        let mut fins = Fins::new();
        // In the order in which they were told, which is that of their ends but for the fraction of a second that some
        // wait.
        let newest_first = self.closes.records.iter().rev().take_while(|record| record.ns >= since_ns);
        for record in newest_first {
            let meant = record.head().is_some_and(|head| {
                head.cause == Cause::ClosedFirst
                    && wanted(&head.endpoints)
                    && !fins.contains_key(&head.endpoints)
            });
            if meant {
                fins.extend(record.verdict().and_then(|verdict| Fin::of_verdict(&verdict)));
            }
            if fins.len() >= FINS {
                break;
            }
        }
        fins
    }

    fn last_close(&self, mut meant: impl FnMut(&Head<'_>) -> bool) -> Option<Verdict> {
        let mut newest_first = self.closes.records.iter().rev();
        let record = newest_first.find(|record| record.head().is_some_and(|head| meant(&head)))?;
        record.verdict()
    }

    /// The same connection as its other end has it: mirrored addresses, and a beginning or an end at the same time.
    fn peer(&self, verdict: &Verdict) -> Option<Verdict> {
        let Endpoints { local, remote, netns, .. } = verdict.endpoints;
        // Each network namespace has a loopback of its own; other addresses may have their ends in two.
        let same_host = |other| !local.ip().is_loopback() || other == netns;
        let mirrored = self.closes.records.iter().filter(|record| {
            record.head().is_some_and(|head| {
                let ends = &head.endpoints;
                ends.local == remote && ends.remote == local && same_host(ends.netns) && head.id != verdict.id
            })
        });
        let apart = |other: &Verdict| match (verdict.opened_ns(), other.opened_ns()) {
            // One end may be held open for hours after the other is gone.
            (Some(one), Some(other)) => one.abs_diff(other),
            _ => verdict.ns.abs_diff(other.ns),
        };
        let near = mirrored.filter_map(PackedReport::verdict).filter(|other| apart(other) < PEER_WINDOW_NS);
        near.min_by_key(apart)
    }

    fn told(&self, verdict: Verdict) -> StoryWithErrors {
        let failures = self.errors.records.iter().filter_map(|record| match record.report()? {
            Report::WriteError(failure) => Some(failure),
            _ => None,
        });
        let of_it = failures.filter(|failure| failure.close_id.as_ref() == Some(&verdict.id));
        StoryWithErrors { errors: of_it.take(STORY_ERRORS).collect(), verdict }
    }
}
