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

/// A scan that took long is good for so many times as long: on a host with very many descriptors the rest of the time is
/// for records.
const REST: u32 = 4;

/// Processes by the inode of a socket they hold.
#[derive(Default)]
pub struct Owners {
    scanner: Scanner,
    /// When the last scan began, and for how long it is good.
    scanned: Option<(Instant, Duration)>,
    by_inode: HashMap<u64, Task>,
}

impl Owners {
    /// Looks, unless that was done just now.
    pub fn look(&mut self) {
        // Of its beginning: what was opened while it was under way may not be in it.
        let begin = Instant::now();
        if self.scanned.is_some_and(|(at, life)| begin.duration_since(at) < life) {
            return;
        }
        self.by_inode.clear();
        let by_inode = &mut self.by_inode;
        // Of several, the one that was there first: usually the parent of the others.
        self.scanner.scan(
            |_| true,
            |inode, holder| {
                by_inode.entry(inode).or_insert(holder.task);
            },
        );
        self.scanned = Some((begin, SCAN_LIFE.max(begin.elapsed().saturating_mul(1 + REST))));
    }

    /// A process that had the socket with this inode at the last look.
    #[must_use]
    pub fn find(&self, inode: u64) -> Option<Task> {
        self.by_inode.get(&inode).copied()
    }
}
