//! One connection's story, found by its id or its addresses.

use serde::{Deserialize, Serialize};

use super::{History, pack::PackedReport};
use crate::{
    classify::verdict::{Head, Verdict},
    event::Endpoints,
    filter::AddressFilter,
    report::{Report, WriteFailure},
};

/// A connection's story, and that of its other end if it is on this host too.
#[derive(Debug, Clone)]
pub struct FoundStory {
    /// The story that was asked for.
    pub story: StoryWithErrors,
    /// The story of the other end.
    pub peer: Option<StoryWithErrors>,
}

/// A verdict, and the failing writes of its connection.
#[derive(Debug, Clone)]
pub struct StoryWithErrors {
    /// The verdict.
    pub verdict: Verdict,
    /// The first failing writes.
    pub errors: Vec<WriteFailure>,
}

/// Selects a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorySelector {
    /// The id of its verdict.
    Id(String),
    /// One or two of its ends, in any order. The last such connection is selected.
    Ends(Vec<AddressFilter>),
}

impl StorySelector {
    /// Whether it selects the close with this id and these ends.
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

    /// Whether the first end is the local end of `these`, and not that of `others`.
    fn prefers(&self, these: &Endpoints, others: &Endpoints) -> bool {
        match self {
            Self::Id(_) => false,
            Self::Ends(ends) => {
                ends.first().is_some_and(|first| first.fits(these.local) && !first.fits(others.local))
            }
        }
    }
}

/// Most failing writes per story. Further ones would repeat them.
const STORY_ERRORS: usize = 8;

/// The two ends of one connection begin within this time, ns. A handshake is faster, and ports are usually reused
/// later.
const PEER_WINDOW_NS: u64 = 60_000_000_000;

impl History {
    /// The last close that is selected, with its failing writes and its other end.
    #[must_use]
    pub fn story(&self, selector: &StorySelector) -> Option<FoundStory> {
        let verdict = self.last_close(|head| selector.fits(head.id, &head.endpoints))?;
        match self.peer(&verdict) {
            // The user named this end first.
            Some(peer) if selector.prefers(&peer.head.endpoints, &verdict.head.endpoints) => {
                Some(FoundStory { story: self.with_errors(peer), peer: Some(self.with_errors(verdict)) })
            }
            peer => Some(FoundStory {
                story: self.with_errors(verdict),
                peer: peer.map(|peer| self.with_errors(peer)),
            }),
        }
    }

    fn last_close(&self, mut is_selected: impl FnMut(&Head<&str>) -> bool) -> Option<Verdict> {
        let mut newest_first = self.closes.reports.iter().rev();
        let report = newest_first.find(|report| report.head().is_some_and(|head| is_selected(&head)))?;
        report.verdict()
    }

    /// The verdict of the connection's other end: mirrored addresses, and a beginning or an end at the same time.
    fn peer(&self, verdict: &Verdict) -> Option<Verdict> {
        let Endpoints { local, remote, netns, .. } = verdict.head.endpoints;
        // Each network namespace has its own loopback. Other connections may have their ends in two namespaces.
        let same_host = |other| !local.ip().is_loopback() || other == netns;
        let mirrored = self.closes.reports.iter().filter(|report| {
            report.head().is_some_and(|head| {
                let ends = &head.endpoints;
                ends.local == remote
                    && ends.remote == local
                    && same_host(ends.netns)
                    && head.id != verdict.head.id
            })
        });
        let apart = |other: &Verdict| match (verdict.opened_ns(), other.opened_ns()) {
            // One end may stay open for hours after the other has closed.
            (Some(one), Some(other)) => one.abs_diff(other),
            _ => verdict.head.ns.abs_diff(other.head.ns),
        };
        let near = mirrored.filter_map(PackedReport::verdict).filter(|other| apart(other) < PEER_WINDOW_NS);
        near.min_by_key(apart)
    }

    fn with_errors(&self, verdict: Verdict) -> StoryWithErrors {
        let failures = self.errors.reports.iter().filter_map(|report| match report.report()? {
            Report::WriteError(failure) => Some(failure),
            _ => None,
        });
        let of_it = failures.filter(|failure| failure.close_id.as_ref() == Some(&verdict.head.id));
        StoryWithErrors { errors: of_it.take(STORY_ERRORS).collect(), verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{
        HistoryLimits,
        fixtures::{close, failure, history, verdict},
    };

    #[test]
    fn a_story_comes_with_its_failing_writes_and_its_other_end() {
        let Report::Close(ours) = close(7, "client") else { panic!("a close") };
        let Endpoints { local, remote, netns } = ours.head.endpoints;
        let mirrored = |id: &str, duration_ns: u64, ns: u64| {
            let endpoints = Endpoints { local: remote, remote: local, netns };
            let duration_ns = Some(duration_ns);
            let head = Head { id: id.to_owned(), ns, endpoints, ..verdict().head };
            Report::Close(Box::new(Verdict { head, duration_ns, ..verdict() }))
        };
        // A connection of the same ports one hour earlier, and the other end, which stayed open for two hours longer.
        let hour = 3_600_000_000_000;
        let ours_opened = hour * 2;
        let ours = Report::Close(Box::new(Verdict {
            head: Head { ns: ours_opened + 9, ..ours.head.clone() },
            duration_ns: Some(9),
            ..*ours
        }));
        let reports = [
            mirrored("b-0001", 9, hour),
            ours,
            failure(8, Some("7-0001")),
            failure(9, Some("8-0001")),
            mirrored("c-0001", hour * 2, ours_opened + hour * 2 + 5),
        ];
        let history = history(HistoryLimits::default(), &reports);
        let found = history.story(&StorySelector::Id("7-0001".to_owned())).expect("the story");
        assert_eq!((found.story.verdict.head.id.as_str(), found.story.errors.len()), ("7-0001", 1));
        assert_eq!(found.peer.expect("its other end").verdict.head.id, "c-0001");

        let ends = |text: &[&str]| {
            StorySelector::Ends(text.iter().map(|end| end.parse().expect("an end")).collect())
        };
        let id = |which: &StorySelector| history.story(which).map(|found| found.story.verdict.head.id);
        assert_eq!(id(&ends(&["10.0.0.1:7"])).as_deref(), Some("7-0001"), "the named end is the local one");
        assert_eq!(id(&ends(&["10.0.0.1:7", ":2000"])).as_deref(), Some("7-0001"));
        assert_eq!(id(&ends(&[":2000", "10.0.0.1:7"])).as_deref(), Some("c-0001"));
        assert_eq!(id(&ends(&[":4"])), None);
        assert_eq!(id(&StorySelector::Id("1-0001".to_owned())), None);
    }
}
