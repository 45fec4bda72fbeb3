//! The network namespaces of this host, and how to enter each.
//!
//! A namespace is found if the first thread of a process is in it. One that only a file or a mount keeps alive is not
//! found.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    panic::resume_unwind,
    thread,
};

use procfs::{ProcResult, process::all_processes};

/// One network namespace.
pub(crate) struct Namespace {
    /// Its inode number, which is its name in the kernel.
    inode: u32,
    /// The namespace file; None for our own namespace, which needs no entering.
    file: Option<File>,
}

/// The network namespaces that this process can see.
pub(crate) struct Namespaces {
    /// Namespaces that can be entered; our own is the first.
    pub(crate) visible: Vec<Namespace>,
    /// Number of processes whose namespace may not be read.
    pub(crate) hidden: usize,
}

/// Finds the network namespaces of all processes.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn all() -> ProcResult<Namespaces> {
    let own = inode(fs::metadata("/proc/thread-self/ns/net")?.ino());
    let mut seen = HashSet::from([own]);
    let mut visible = vec![Namespace { inode: own, file: None }];
    let mut hidden = 0;
    for process in all_processes()?.flatten() {
        let path = format!("/proc/{}/ns/net", process.pid());
        match fs::metadata(&path) {
            Ok(metadata) if !seen.contains(&inode(metadata.ino())) => {
                // An open file keeps the namespace when the process exits. Another process may have taken the process
                // id meanwhile, so the inode is read from the open file.
                let Ok(file) = File::open(&path) else { continue };
                let Ok(metadata) = file.metadata() else { continue };
                if seen.insert(inode(metadata.ino())) {
                    visible.push(Namespace { inode: inode(metadata.ino()), file: Some(file) });
                }
            }
            Err(error) => hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied),
            Ok(_) => {}
        }
    }
    Ok(Namespaces { visible, hidden })
}

/// Inode numbers of namespaces have 32 bits (`struct ns_common`).
fn inode(number: u64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Calls `look` with the inode number of each namespace, inside that namespace, and returns the results in the same
/// order. This runs in a thread of its own, because a thread that has left its namespace cannot be used for anything
/// else.
///
/// # Errors
/// The thread cannot start. The error of one namespace is in its result.
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
        let Some(file) = &self.file else { return Ok(()) };
        // SAFETY: the descriptor is open, and the call takes no pointer.
        match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
