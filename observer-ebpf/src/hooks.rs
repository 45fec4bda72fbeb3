//! One file a kernel event: a handler, and under it a thin entry per attach mechanism.

mod active_reset;
pub(crate) mod close;
mod destroy;
mod passive_reset;
mod receive_reset;
mod send_fin;
mod send_length;
mod send_reset;
mod set_state;
mod signal;
mod stream_error;
mod wait_close;
