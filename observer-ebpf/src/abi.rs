//! The kernel/user ABI.
//!
//! Rules of every type here:
//! - `#[repr(C)]`, fixed-width fields, every padding byte is a named field, size asserted at compile time;
//! - no `bool` and no `enum` fields: a record is bytes until `observer` has decoded it;
//! - times are `CLOCK_MONOTONIC` nanoseconds (`bpf_ktime_get_ns`), ports are in host byte order,
//!   addresses in network byte order (an IPv4 address fills the first four bytes);
//! - a kernel number (state, reason, flag) is passed as the kernel has it; names are user space's work.

pub mod counter;
pub mod program;
pub mod record;
pub mod setting;
