//! Timelines of segments that no pair of real sockets would exchange, one file per theme and one function per timeline.
//!
//! "Us" is a real socket of a real process; the [peer](crate::peer) is of our own making, so only we get a verdict.
//! Each timeline returns by how much the kernel's counters must have moved.

use serde_json::{Value, json};

use crate::report::{Bytes, reset_received_in};
use crate::row::Row;

/// The rows of a file: one per function, of the same name.
macro_rules! rows {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ROWS: &[crate::row::Row] =
            &[$(crate::row::Row { name: concat!("timeline_", stringify!($name)), run: $name }),*];
    };
}

mod after_end;
mod again;
mod closing;
mod connecting;
mod fast_open;
mod given_up;
mod icmp;
mod late_data;
mod local;
mod loss;
mod misfits;
mod resets;
mod stamps;
mod teardown;
mod windows;
mod younger;

const FILES: &[&[Row]] = &[
    after_end::ROWS,
    again::ROWS,
    closing::ROWS,
    connecting::ROWS,
    fast_open::ROWS,
    given_up::ROWS,
    icmp::ROWS,
    late_data::ROWS,
    local::ROWS,
    loss::ROWS,
    misfits::ROWS,
    resets::ROWS,
    stamps::ROWS,
    teardown::ROWS,
    windows::ROWS,
    younger::ROWS,
];

pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    FILES.iter().copied().flatten()
}

/// A graceful end in which nothing was lost and nothing went wrong.
fn graceful(cause: &str, first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "graceful", "cause": cause, "first_close": first_close, "local_action": local_action,
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    })
}

/// An end by the peer's RST in this state.
fn reset_by_peer(cause: &str, state: &str, first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "reset_received", "cause": cause, "first_close": first_close, "local_action": local_action,
        "reset": reset_received_in(state),
    })
}

/// The kernel gave up sending again.
fn timed_out(first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "timed_out", "cause": "retransmit_timeout", "first_close": first_close,
        "local_action": local_action, "reset": null, "write_errors": {},
    })
}

/// Ended here, with neither FIN nor RST reaching the peer for it.
fn aborted(cause: &str, first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "aborted", "cause": cause, "first_close": first_close, "local_action": local_action,
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    })
}
