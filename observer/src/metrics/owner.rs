//! The `owner` label: the owner of a connection, with a bounded number of values.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use prometheus::IntGauge;

use crate::{
    event::Task,
    owner::{Cgroup, Cgroups, OwnerBy},
};

/// The value if no owner is known or wanted.
pub(super) const NONE: &str = "none";

/// The value for owners beyond the limit.
pub(super) const OTHER: &str = "other";

/// Most folded names that are counted. The count stops here.
const FOLDED_LIMIT: usize = 10_000;

/// Label values by the names of owners. The first owners keep their names; later ones are folded into [`OTHER`].
pub(super) struct OwnerLabels {
    by: OwnerBy,
    limit: usize,
    cgroups: Cgroups,
    /// At most `limit` names with their labels. Two names may have one label.
    labels: HashMap<Box<[u8]>, Box<str>>,
    /// Hashes of the folded names, for counting them.
    folded: HashSet<u64>,
    hasher: RandomState,
    /// Shows the number of folded names.
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

    /// The label of a process. Only a new name allocates.
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
        // Prometheus treats an empty label value as a missing label.
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
    fn names_beyond_the_limit_are_folded_and_counted_once() {
        let mut owners = owners(OwnerBy::Comm, 2);
        let labels = ["nginx", "redis", "curl", "nginx", "curl", "wget"].map(|comm| {
            let label = owners.label(Some(&task(comm)));
            label.to_owned()
        });
        assert_eq!(labels, ["nginx", "redis", "other", "nginx", "other", "other"]);
        assert_eq!(owners.gauge.get(), 2);
    }

    #[test]
    fn the_number_of_remembered_folded_names_is_bounded() {
        let mut owners = owners(OwnerBy::Comm, 0);
        for n in 0..FOLDED_LIMIT + 10 {
            assert_eq!(owners.label(Some(&task(&n.to_string()))), OTHER);
        }
        assert_eq!(owners.folded.len(), FOLDED_LIMIT);
        assert_eq!(usize::try_from(owners.gauge.get()), Ok(FOLDED_LIMIT));
    }

    #[test]
    fn labels_have_no_control_characters_and_are_never_empty() {
        let mut owners = owners(OwnerBy::Comm, 10);
        assert_eq!(owners.label(Some(&task("a\nb"))), "a?b");
        assert_eq!(owners.label(Some(&task(""))), NONE);
        assert_eq!(owners.label(None), NONE);
    }

    #[test]
    fn a_process_without_a_cgroup_has_no_unit_or_container() {
        assert_eq!(owners(OwnerBy::Unit, 10).label(Some(&task("nginx"))), NONE);
        assert_eq!(owners(OwnerBy::Container, 10).label(Some(&task("nginx"))), NONE);
        assert_eq!(owners(OwnerBy::None, 10).label(Some(&task("nginx"))), NONE);
    }
}
