//! The `owner` label: whose connection it was, in a bounded number of words.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use prometheus::IntGauge;

use crate::{
    event::Task,
    owner::{Cgroup, Cgroups, OwnerBy},
};

/// The owner where there is none, or none is wanted.
pub(super) const NONE: &str = "none";

/// What owners become once there are too many.
pub(super) const OTHER: &str = "other";

/// How many folded names are told apart; their number then stays here.
const FOLDED_LIMIT: usize = 10_000;

/// Label values by what they are made of. First come, first named; nobody loses a name.
pub(super) struct OwnerLabels {
    by: OwnerBy,
    limit: usize,
    cgroups: Cgroups,
    /// At most `limit`; two raw names may become one label.
    labels: HashMap<Box<[u8]>, Box<str>>,
    /// Hashes of the names that came too late: they only need telling apart.
    folded: HashSet<u64>,
    hasher: RandomState,
    /// Follows `folded`.
    gauge: IntGauge,
}

impl OwnerLabels {
    pub(super) fn new(by: OwnerBy, limit: usize, gauge: IntGauge) -> Self {
        let cgroups = match by {
            OwnerBy::Unit | OwnerBy::Container => Cgroups::new(),
            OwnerBy::Comm | OwnerBy::None => Cgroups::none(),
        };
        let (labels, folded) = (HashMap::new(), HashSet::new());
        Self { by, limit, cgroups, labels, folded, hasher: RandomState::new(), gauge }
    }

    /// Forgets every name.
    pub(super) fn reset(&mut self, by: OwnerBy, limit: usize) {
        self.gauge.set(0);
        *self = Self::new(by, limit, self.gauge.clone());
    }

    /// The label of a process. Allocates only for a name that is new.
    pub(super) fn label(&mut self, task: Option<&Task>) -> &str {
        let Some(task) = task else { return NONE };
        let of_cgroup: fn(&Cgroup) -> Option<&str> = match self.by {
            OwnerBy::None => return NONE,
            OwnerBy::Comm => return self.named(task.comm.as_bytes(), || task.comm.to_string()),
            OwnerBy::Unit => |cgroup| cgroup.unit.as_deref(),
            OwnerBy::Container => |cgroup| cgroup.container.as_deref(),
        };
        let cgroup = self.cgroups.get(task.cgroup);
        let Some(name) = cgroup.as_deref().and_then(of_cgroup) else { return NONE };
        self.named(name.as_bytes(), || name.replace(char::is_control, "?"))
    }

    fn named(&mut self, raw: &[u8], shown: impl FnOnce() -> String) -> &str {
        // An empty label value is to Prometheus no label at all.
        if raw.is_empty() {
            return NONE;
        }
        if !self.labels.contains_key(raw) {
            if self.labels.len() >= self.limit {
                self.fold(raw);
                return OTHER;
            }
            self.labels.insert(raw.into(), shown().into());
        }
        self.labels.get(raw).map_or(OTHER, AsRef::as_ref)
    }

    fn fold(&mut self, raw: &[u8]) {
        if self.folded.len() < FOLDED_LIMIT && self.folded.insert(self.hasher.hash_one(raw)) {
            self.gauge.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Comm;

    fn task(comm: &str) -> Task {
        let comm = Comm::from(comm);
        Task { pid: 1, tid: 1, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 }
    }

    fn owners(by: OwnerBy, limit: usize) -> OwnerLabels {
        OwnerLabels::new(by, limit, IntGauge::new("folded", "folded").unwrap())
    }

    #[test]
    fn late_names_are_folded_and_counted_once() {
        let mut owners = owners(OwnerBy::Comm, 2);
        let labels = ["nginx", "redis", "curl", "nginx", "curl", "wget"].map(|comm| {
            let label = owners.label(Some(&task(comm)));
            label.to_owned()
        });
        assert_eq!(labels, ["nginx", "redis", "other", "nginx", "other", "other"]);
        assert_eq!(owners.gauge.get(), 2);
    }

    #[test]
    fn the_memory_of_folded_names_is_bounded() {
        let mut owners = owners(OwnerBy::Comm, 0);
        for n in 0..FOLDED_LIMIT + 10 {
            assert_eq!(owners.label(Some(&task(&n.to_string()))), OTHER);
        }
        assert_eq!(owners.folded.len(), FOLDED_LIMIT);
        assert_eq!(usize::try_from(owners.gauge.get()), Ok(FOLDED_LIMIT));
    }

    #[test]
    fn names_are_made_safe_and_never_empty() {
        let mut owners = owners(OwnerBy::Comm, 10);
        assert_eq!(owners.label(Some(&task("a\nb"))), "a?b");
        assert_eq!(owners.label(Some(&task(""))), NONE);
        assert_eq!(owners.label(None), NONE);
    }

    #[test]
    fn without_a_cgroup_there_is_no_unit() {
        assert_eq!(owners(OwnerBy::Unit, 10).label(Some(&task("nginx"))), NONE);
        assert_eq!(owners(OwnerBy::Container, 10).label(Some(&task("nginx"))), NONE);
        assert_eq!(owners(OwnerBy::None, 10).label(Some(&task("nginx"))), NONE);
    }
}
