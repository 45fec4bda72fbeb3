//! The kernel's accounting of BPF programs: their run time and number of runs.

use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::libc;

/// Enables the accounting for every BPF program of the host, while the descriptor is open (`BPF_ENABLE_STATS`, 5.8).
///
/// The kernel disables it when this process ends, however it ends.
pub(crate) fn count() -> Result<OwnedFd> {
    const BPF_ENABLE_STATS: libc::c_int = 32;
    // The part of `union bpf_attr` that the command reads: type 0, BPF_STATS_RUN_TIME.
    let attr = [0_u32; 2];
    // SAFETY: the attributes outlive the call, and the size is correct.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attr.as_ptr(), size_of_val(&attr)) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
    let fd = fd
        .ok_or_else(std::io::Error::last_os_error)
        .context("cannot enable the kernel's accounting of BPF programs")?;
    // SAFETY: the kernel has just opened this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
