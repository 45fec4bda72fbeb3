//! The scenarios of two real sockets, one file per theme and one function per row.
//!
//! "We" are the side of interest, "the peer" is the other side; both get a verdict. Each row returns by how much the
//! kernel's counters must have moved. The ids (`A4`) are those of docs/scenarios.md.

use crate::row::Row;

/// The rows of a file: one per function, of the same name.
macro_rules! rows {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ROWS: &[crate::row::Row] =
            &[$(crate::row::Row { name: stringify!($name), run: $name }),*];
    };
}

mod connect;
mod half_close;
mod linger;
mod local_resets;
mod observer_started_late;
mod orphans;
mod pooled_connection;
mod queued_fin;
mod shared_descriptor;
mod stray_segments;
mod timeouts;
mod unread_data;
mod write_after_close;
mod write_errors;

const FILES: &[&[Row]] = &[
    connect::ROWS,
    half_close::ROWS,
    linger::ROWS,
    local_resets::ROWS,
    observer_started_late::ROWS,
    orphans::ROWS,
    pooled_connection::ROWS,
    queued_fin::ROWS,
    shared_descriptor::ROWS,
    stray_segments::ROWS,
    timeouts::ROWS,
    unread_data::ROWS,
    write_after_close::ROWS,
    write_errors::ROWS,
];

pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    FILES.iter().copied().flatten()
}

/// Rows that change the whole machine for a moment.
pub(crate) fn lone_rows() -> impl Iterator<Item = &'static Row> {
    orphans::LONE_ROWS.iter()
}
