//! The ABI between kernel and user space.
//!
//! Rules for every type here:
//! - `#[repr(C)]`, fixed-width fields, every padding byte is a named field, and the size is asserted at compile time;
//! - zerocopy's traits are derived: they prove that there is no hidden padding and that any bytes are a valid value;
//! - no `bool` and no `enum` fields: a record is plain bytes until `observer` has decoded it;
//! - times are nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), and ports are in host byte order;
//! - addresses are in network byte order, and an IPv4 address fills the first four bytes;
//! - a kernel number (state, reason, flag) is passed on unchanged: user space gives it a name.

pub mod counter;
pub mod program;
pub mod record;
pub mod setting;
pub mod tcp_state;
