//! /proc → which process holds which socket, under which descriptor.
//!
//! One pass over all processes; whoever asks says which sockets it wants, and what to do with each that is found.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use procfs::{
    ProcError,
    process::{FDTarget, Process, all_processes},
};

use crate::event::{Comm, Task};

/// A descriptor of a socket. The same file can have several, in one process or in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process, as of now; the thread is its first one.
    pub task: Task,
    /// Number of the descriptor.
    pub fd: u32,
}

/// Looks through /proc.
pub(crate) struct Scanner {
    /// Where the cgroup v2 hierarchy is mounted.
    cgroups: Option<PathBuf>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { cgroups: super::cgroup::root() }
    }
}

impl Scanner {
    /// Gives `found` every descriptor of every `wanted` socket (by inode), in the order of process ids and
    /// descriptors, and returns how many processes are not ours to look at. What ends meanwhile is left out.
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

    /// The id of the cgroup v2 that the process is in.
    fn cgroup(&self, process: &Process) -> Option<u64> {
        let root = self.cgroups.as_deref()?;
        let groups = process.cgroups().ok()?;
        let group = groups.into_iter().find(|group| group.hierarchy == 0)?;
        let below = Path::new(&group.pathname).strip_prefix("/").ok()?;
        // Above the root of our own cgroup namespace there is nothing that we could name.
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
    fn our_own_socket_is_found_under_both_of_its_descriptors() {
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
