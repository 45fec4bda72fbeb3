//! Run time statistics of BPF programs, which the kernel keeps only on request.

use std::os::fd::OwnedFd;

use aya::sys::{Stats, SyscallError, enable_stats};
use thiserror::Error;

/// The kernel does not count.
#[derive(Debug, Error)]
#[error(
    "the kernel does not measure BPF programs for this process: run it with CAP_SYS_ADMIN, or leave out \
     kernel.program_stats"
)]
pub struct StatsError(#[source] SyscallError);

/// Enables the statistics while the descriptor is open, whatever `kernel.bpf_stats_enabled` says. This covers every BPF
/// program on the host and slows each run slightly.
///
/// # Errors
/// The process lacks CAP_SYS_ADMIN.
pub fn count() -> Result<OwnedFd, StatsError> {
    enable_stats(Stats::RunTime).map_err(StatsError)
}
