//! One file a kernel event: a handler, and under it a thin entry per attach mechanism.

mod destroy;
mod error_report;
mod receive_reset;
mod send_length;
mod send_reset;
mod set_state;
mod signal;
