//! The network namespaces of this host, and a way into each.
//!
//! Only those that a process is in by its first thread; one that is merely held by a file or a mount is not found.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    panic::resume_unwind,
    thread,
};

use procfs::{ProcResult, process::all_processes};

/// One namespace.
pub(crate) struct Namespace {
    /// The number by which the kernel names it.
    inode: u32,
    /// None for our own, in which we are already.
    door: Option<File>,
}

/// What can be known of all namespaces.
pub(crate) struct Namespaces {
    /// Our own is the first.
    pub(crate) visible: Vec<Namespace>,
    /// Processes that do not let us know where they are.
    pub(crate) hidden: usize,
}

/// Finds the namespaces of all processes.
pub(crate) fn all() -> ProcResult<Namespaces> {
    let own = inode(fs::metadata("/proc/thread-self/ns/net")?.ino());
    let mut seen = HashSet::from([own]);
    let mut visible = vec![Namespace { inode: own, door: None }];
    let mut hidden = 0;
    for process in all_processes()?.flatten() {
        let path = format!("/proc/{}/ns/net", process.pid());
        match fs::metadata(&path) {
            Ok(metadata) if !seen.contains(&inode(metadata.ino())) => {
                // Opened, it is still there when its process is not; and another may have taken the process id.
                let Ok(door) = File::open(&path) else { continue };
                let Ok(metadata) = door.metadata() else { continue };
                if seen.insert(inode(metadata.ino())) {
                    visible.push(Namespace { inode: inode(metadata.ino()), door: Some(door) });
                }
            }
            Err(error) => hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied),
            Ok(_) => {}
        }
    }
    Ok(Namespaces { visible, hidden })
}

/// Inodes of namespaces are 32 bits wide (`struct ns_common`).
fn inode(number: u64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Looks into one after the other, and returns what was seen in each. In a thread of its own, which ends with it:
/// one that has left its namespace is of no use to anybody else.
pub(crate) fn visit<T: Send>(
    namespaces: &[Namespace],
    look: impl Fn(u32) -> io::Result<T> + Send,
) -> io::Result<Vec<io::Result<T>>> {
    thread::scope(|scope| {
        let visit = move || {
            let visits =
                namespaces.iter().map(|namespace| namespace.enter().and_then(|()| look(namespace.inode)));
            visits.collect()
        };
        let visitor = thread::Builder::new().name("namespaces".to_owned()).spawn_scoped(scope, visit)?;
        Ok(visitor.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

impl Namespace {
    fn enter(&self) -> io::Result<()> {
        let Some(door) = &self.door else { return Ok(()) };
        // SAFETY: a descriptor that is open, and no memory of ours.
        match unsafe { libc::setns(door.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
