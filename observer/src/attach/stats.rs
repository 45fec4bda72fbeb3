//! The kernel's own account of what BPF programs cost, which it keeps only while somebody wants it.

use std::os::fd::OwnedFd;

use aya::sys::{Stats, SyscallError, enable_stats};
use thiserror::Error;

/// Why it does not count.
#[derive(Debug, Error)]
#[error(
    "the kernel does not count the time of BPF programs (it needs CAP_SYS_ADMIN); leave out kernel.program_stats"
)]
pub struct StatsError(#[source] SyscallError);

/// Counts for as long as the descriptor is open, whatever `kernel.bpf_stats_enabled` says. For every program of this
/// host, and each of their runs then takes a little longer.
pub fn count() -> Result<OwnedFd, StatsError> {
    enable_stats(Stats::RunTime).map_err(StatsError)
}
