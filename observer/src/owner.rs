//! Whose socket it is, where no event told: the process that has the socket's inode among its descriptors.
//!
//! The only part that looks at the live host beside the kernel's records. Looked up just before a verdict is
//! told, for sockets that somebody still holds; a scan is shared by all of the same moment.

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
use crate::event::Task;

/// How long after its beginning a scan of /proc is good. A descriptor that is held for `GRACE_NS` is usually held
/// for longer.
const SCAN_LIFE: Duration = Duration::from_millis(200);

/// Processes by the inode of a socket they hold.
#[derive(Default)]
pub struct Owners {
    scanner: Scanner,
    scanned: Option<Instant>,
    by_inode: HashMap<u64, Task>,
}

impl Owners {
    /// A process that has the socket with this inode now.
    pub fn find(&mut self, inode: u64) -> Option<Task> {
        let fresh = self.scanned.is_some_and(|at| at.elapsed() < SCAN_LIFE);
        if !fresh {
            self.by_inode.clear();
            // Of its beginning: what was opened while it was under way may not be in it.
            self.scanned = Some(Instant::now());
            let by_inode = &mut self.by_inode;
            // Of several, the one that was there first: usually the parent of the others.
            self.scanner.scan(
                |_| true,
                |inode, holder| {
                    by_inode.entry(inode).or_insert(holder.task);
                },
            );
        }
        self.by_inode.get(&inode).copied()
    }
}
