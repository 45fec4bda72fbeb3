//! The kernel's account of what BPF programs cost.

use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::libc;

/// Counts for as long as the descriptor is open, so that nothing is left behind whatever becomes of this process; for
/// every program of the host (`BPF_ENABLE_STATS`, 5.8).
pub(crate) fn count() -> Result<OwnedFd> {
    const BPF_ENABLE_STATS: libc::c_int = 32;
    // `union bpf_attr` as far as the command reads it: type 0, BPF_STATS_RUN_TIME.
    let attr = [0_u32; 2];
    // SAFETY: the attributes outlive the call, and their size is theirs.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attr.as_ptr(), size_of_val(&attr)) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
    let fd = fd
        .ok_or_else(std::io::Error::last_os_error)
        .context("the kernel does not count the time of BPF programs")?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
