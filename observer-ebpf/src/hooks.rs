//! One file per kernel event: a handler, and below it a thin entry point per attach mechanism.

mod active_reset;
mod close;
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
