//! Index of each counter in the per-CPU array [`MAP`]: whatever the kernel side could not deliver, and what it only
//! counts.

/// Name of the per-CPU array of `u64` counters.
pub const MAP: &str = "COUNTERS";

/// A record did not fit into the ring buffer.
pub const RING_FULL: u32 = 0;
/// A kernel read faulted; the record carries zeros in its place.
pub const READ_FAULT: u32 = 1;
/// A note about a thread was refused by its map (see `maps.rs`).
pub const MARK_REFUSED: u32 = 2;

/// How many of these losses there are.
pub const LOSSES: u32 = 3;

/// Sends that found the buffer full, where they are counted. No loss: the process tries again.
pub const SEND_BUFFER_FULL: u32 = LOSSES;

/// How many counters there are.
pub const COUNT: u32 = LOSSES + 1;

/// Label of each loss in `observer_records_lost_total{reason}`, in index order.
pub const NAMES: [&str; LOSSES as usize] = ["ring_full", "read_fault", "mark_refused"];
