//! Timelines of segments that no pair of real sockets would exchange, one file per theme and one function per timeline.
//!
//! "Us" is a real socket of a real process; the [peer](crate::peer) is of our own making, so only we get a verdict.
//! Each timeline returns by how much the kernel's counters must have moved.

use crate::row::Row;

/// The rows of a file: one per function, of the same name.
macro_rules! rows {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ROWS: &[crate::row::Row] =
            &[$(crate::row::Row { name: concat!("timeline_", stringify!($name)), run: $name }),*];
    };
}

mod resets;

const FILES: &[&[Row]] = &[resets::ROWS];

pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    FILES.iter().copied().flatten()
}
