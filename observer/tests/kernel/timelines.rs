//! Timelines: segments that two real sockets would not exchange. One file per theme, one function per timeline.
//!
//! "We" are a real socket of a real process. The [peer](crate::peer) is part of the test, so only our socket gets a
//! verdict. Each timeline returns by how much the kernel's counters must have moved.

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

mod abandoned_connects;
mod after_end;
mod closing;
mod connecting;
mod fast_open;
mod icmp;
mod late_data;
mod late_observer;
mod loss;
mod old_timestamps;
mod own_calls;
mod reconnect;
mod resets;
mod teardown;
mod unacceptable_segments;
mod windows;

const FILES: &[&[Row]] = &[
    abandoned_connects::ROWS,
    after_end::ROWS,
    closing::ROWS,
    connecting::ROWS,
    fast_open::ROWS,
    icmp::ROWS,
    late_data::ROWS,
    late_observer::ROWS,
    loss::ROWS,
    old_timestamps::ROWS,
    own_calls::ROWS,
    reconnect::ROWS,
    resets::ROWS,
    teardown::ROWS,
    unacceptable_segments::ROWS,
    windows::ROWS,
];

pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    FILES.iter().copied().flatten()
}

/// A graceful end without lost bytes and without errors.
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

/// The kernel gave up its retransmissions.
fn timed_out(first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "timed_out", "cause": "retransmit_timeout", "first_close": first_close,
        "local_action": local_action, "reset": null, "write_errors": {},
    })
}

/// Our side ended the connection, and neither FIN nor RST reached the peer for it.
fn aborted(cause: &str, first_close: &str, local_action: &str) -> Value {
    json!({
        "outcome": "aborted", "cause": cause, "first_close": first_close, "local_action": local_action,
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    })
}
