//! Whose socket it is, where no event told: the process that has the socket's inode among its descriptors.
//!
//! The only part that looks at the live host beside the kernel's records. Looked up when a verdict is told, for
//! sockets that somebody still holds; a scan is shared by all verdicts of the same moment.

mod cgroup;
mod scan;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

pub(crate) use self::scan::Scanner;
pub use self::{
    cgroup::{Cgroup, Cgroups},
    scan::Holder,
};
use crate::{
    classify::{Missing, verdict::Verdict},
    event::Task,
};

/// How long a scan of /proc stays good. A descriptor that is held for `GRACE_NS` is usually held for longer.
const SCAN_LIFE: Duration = Duration::from_millis(200);

/// Processes by the inode of a socket they hold.
#[derive(Default)]
pub struct Owners {
    scanner: Scanner,
    scanned: Option<Instant>,
    by_inode: HashMap<u64, Task>,
}

impl Owners {
    /// Fills in the process of a verdict that has none, if one holds the socket now.
    pub fn complete(&mut self, verdict: &mut Verdict) {
        if verdict.process.is_some() || verdict.inode == 0 {
            return;
        }
        if let Some(task) = self.find(verdict.inode) {
            verdict.process = Some(task);
            verdict.missing.retain(|missing| *missing != Missing::Process);
        }
    }

    fn find(&mut self, inode: u64) -> Option<Task> {
        let fresh = self.scanned.is_some_and(|at| at.elapsed() < SCAN_LIFE);
        if !fresh {
            self.by_inode.clear();
            let by_inode = &mut self.by_inode;
            // Of several, the one that was there first: usually the parent of the others.
            self.scanner.scan(
                |_| true,
                |inode, holder| {
                    by_inode.entry(inode).or_insert(holder.task);
                },
            );
            self.scanned = Some(Instant::now());
        }
        self.by_inode.get(&inode).copied()
    }
}
