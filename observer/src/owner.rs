//! Whose socket it is, where no event told: the process that has the socket's inode among its descriptors.
//!
//! The only part that looks at the live host beside the kernel's records. Looked up when a verdict is told, for
//! sockets that somebody still holds; a scan is shared by all verdicts of the same moment.

mod cgroup;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use procfs::process::{FDTarget, Process, all_processes};

pub use self::cgroup::{Cgroup, Cgroups};
use crate::{
    classify::{Missing, verdict::Verdict},
    event::{Comm, Task},
};

/// How long a scan of /proc stays good. A descriptor that is held for `GRACE_NS` is usually held for longer.
const SCAN_LIFE: Duration = Duration::from_millis(200);

/// Processes by the inode of a socket they hold.
#[derive(Default)]
pub struct Owners {
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
            self.by_inode = scan();
            self.scanned = Some(Instant::now());
        }
        self.by_inode.get(&inode).copied()
    }
}

/// Every socket of every process. Processes that end meanwhile, or are not ours to look at, are left out.
fn scan() -> HashMap<u64, Task> {
    let mut by_inode = HashMap::new();
    let Ok(processes) = all_processes() else { return by_inode };
    for process in processes.flatten() {
        let Ok(fds) = process.fd() else { continue };
        let mut task = None;
        for fd in fds.flatten() {
            if let FDTarget::Socket(inode) = fd.target
                && let Some(task) = task.get_or_insert_with(|| describe(&process))
            {
                by_inode.insert(inode, *task);
            }
        }
    }
    by_inode
}

fn describe(process: &Process) -> Option<Task> {
    let status = process.status().ok()?;
    Some(Task {
        pid: u32::try_from(status.pid).ok()?,
        tid: u32::try_from(status.pid).ok()?,
        uid: status.ruid,
        comm: Comm::from(status.name.as_str()),
        cgroup: 0,
        exiting: false,
        kthread: false,
        signal: 0,
    })
}
