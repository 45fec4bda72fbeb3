//! /proc → the processes that hold sockets, with their descriptors.
//!
//! One pass over all processes. The caller says which sockets it wants, and handles each descriptor found.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use procfs::{
    ProcError,
    process::{FDTarget, Process, all_processes},
};

use crate::event::{Comm, Task};

/// A descriptor of a socket. One socket can have several, in one process or in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process as it is now, by its main thread.
    pub task: Task,
    /// The descriptor's number.
    pub fd: u32,
}

/// Scans /proc.
pub(crate) struct Scanner {
    /// The mount point of the cgroup v2 hierarchy.
    cgroups: Option<PathBuf>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { cgroups: super::cgroup::root() }
    }
}

impl Scanner {
    /// Calls `found` for every descriptor of every `wanted` socket (by inode), in the order of process ids and
    /// descriptors. Returns the number of processes whose descriptors must not be read. Processes that end meanwhile
    /// are left out.
    pub(crate) fn scan(&self, wanted: impl Fn(u64) -> bool, mut found: impl FnMut(u64, Holder)) -> usize {
        let Ok(processes) = all_processes() else { return 0 };
        let mut forbidden = 0;
        for process in processes.flatten() {
            let fds = match process.fd() {
                Ok(fds) => fds,
                Err(error) => {
                    forbidden += usize::from(matches!(error, ProcError::PermissionDenied(_)));
                    continue;
                }
            };
            let mut task = None;
            for descriptor in fds.flatten() {
                let FDTarget::Socket(inode) = descriptor.target else { continue };
                if !wanted(inode) {
                    continue;
                }
                let Some(task) = *task.get_or_insert_with(|| self.describe(&process)) else { break };
                found(inode, Holder { task, fd: descriptor.fd.unsigned_abs() });
            }
        }
        forbidden
    }

    fn describe(&self, process: &Process) -> Option<Task> {
        let status = process.status().ok()?;
        let pid = u32::try_from(status.pid).ok()?;
        Some(Task {
            pid,
            tid: pid,
            uid: status.ruid,
            comm: Comm::from(status.name.as_str()),
            cgroup: self.cgroup(process).unwrap_or(0),
            exiting: false,
            kthread: false,
            signal: 0,
        })
    }

    /// The id of the process's cgroup (v2).
    fn cgroup(&self, process: &Process) -> Option<u64> {
        let root = self.cgroups.as_deref()?;
        let groups = process.cgroups().ok()?;
        let group = groups.into_iter().find(|group| group.hierarchy == 0)?;
        let below = Path::new(&group.pathname).strip_prefix("/").ok()?;
        // A path above the root of our own cgroup namespace cannot be resolved.
        if below.starts_with("..") {
            return None;
        }
        Some(std::fs::metadata(root.join(below)).ok()?.ino())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn a_socket_is_found_under_both_of_its_descriptors() {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let second = first.try_clone().unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", first.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']');
        let inode: u64 = inode.parse().unwrap();
        let mut found = Vec::new();
        Scanner::default()
            .scan(|wanted| wanted == inode, |_, holder| found.push((holder.task.pid, holder.fd)));
        let fds = [first.as_raw_fd(), second.as_raw_fd()].map(|fd| (std::process::id(), fd.unsigned_abs()));
        assert_eq!(found, fds);
    }
}
