//! The owner of a socket, if no event names it: a process that holds the socket's inode among its descriptors.
//!
//! The pipeline asks just before it reports a verdict, for sockets that a process still holds. Besides the kernel's
//! records, this is the only source of facts about the live host. One scan of /proc serves every connection that had
//! ended when the scan began. Any process holding such a socket already held it then, or it closed the socket and
//! left a record. So there are only a few scans per second, however many connections end.

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

/// Processes by the inode of a socket that they hold, from the last scan.
#[derive(Default)]
pub struct Owners {
    scanner: Scanner,
    /// Start of the last scan; `CLOCK_MONOTONIC`, ns.
    scanned_ns: u64,
    by_inode: HashMap<u64, Task>,
    /// Start of the last scan for listeners; `CLOCK_MONOTONIC`, ns.
    listeners_ns: u64,
    listeners: Listeners,
}

impl Owners {
    /// The process that listens on the local address of a connection that ended in its accept queue. `ended_ns` is
    /// the time of the end (`CLOCK_MONOTONIC`, ns); an older scan is repeated.
    pub fn listener(&mut self, endpoints: &Endpoints, ended_ns: u64) -> Option<Task> {
        if self.listeners_ns <= ended_ns {
            self.listeners_ns = monotonic_ns();
            self.listeners = Listeners::scan().unwrap_or_else(|error| {
                log::debug!("cannot list the listening sockets: {error}");
                Listeners::default()
            });
        }
        self.listeners.process(endpoints.netns, endpoints.local)
    }

    /// A process that holds the socket with this inode. `ended_ns` is the time at which its connection ended
    /// (`CLOCK_MONOTONIC`, ns); an older scan is repeated.
    pub fn find(&mut self, inode: u64, ended_ns: u64) -> Option<Task> {
        if self.scanned_ns <= ended_ns {
            self.by_inode.clear();
            // The start counts, because the scan may miss descriptors that are opened while it runs.
            self.scanned_ns = monotonic_ns();
            let by_inode = &mut self.by_inode;
            // Of several holders the lowest process id wins: usually the parent of the others.
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
