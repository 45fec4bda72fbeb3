//! Whose socket it is, where no event told: the process that has the socket's inode among its descriptors.
//!
//! The only part that looks at the live host beside the kernel's records. Looked up just before a verdict is told, for
//! sockets that somebody still holds. A scan serves every connection that had ended when it began: whoever has such a
//! socket had it then, too, or had closed it, which has a record. So there are at most a few in a second, however many
//! connections end.

mod by;
mod cgroup;
pub(crate) mod listener;
mod scan;

use std::collections::HashMap;

pub(crate) use self::scan::Scanner;
pub use self::{
    by::OwnerBy,
    cgroup::{Cgroup, Cgroups},
    listener::Listeners,
    scan::Holder,
};
use crate::{
    event::{Endpoints, Task},
    source::clock::monotonic_ns,
};

/// Processes by the inode of a socket they hold.
#[derive(Default)]
pub struct Owners {
    scanner: Scanner,
    /// When the last scan began; `CLOCK_MONOTONIC`.
    scanned_ns: u64,
    by_inode: HashMap<u64, Task>,
    /// When the last look at listeners began; `CLOCK_MONOTONIC`.
    listeners_ns: u64,
    listeners: Listeners,
}

impl Owners {
    /// The process that listens on the local address of a connection that ended then, in its accept queue.
    pub fn listener(&mut self, endpoints: &Endpoints, ended_ns: u64) -> Option<Task> {
        if self.listeners_ns <= ended_ns {
            self.listeners_ns = monotonic_ns();
            self.listeners = Listeners::look().unwrap_or_else(|error| {
                log::debug!("cannot list the sockets that listen: {error}");
                Listeners::default()
            });
        }
        self.listeners.process(endpoints.netns, endpoints.local)
    }

    /// A process that has the socket with this inode, of a connection that ended then (`CLOCK_MONOTONIC`).
    pub fn find(&mut self, inode: u64, ended_ns: u64) -> Option<Task> {
        if self.scanned_ns <= ended_ns {
            self.by_inode.clear();
            // Of its beginning: what was opened while it was under way may not be in it.
            self.scanned_ns = monotonic_ns();
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
