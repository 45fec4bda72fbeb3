//! Events from the live ring buffer.

use std::{borrow::Borrow, ops::ControlFlow};

use aya::maps::{MapData, RingBuf};

use crate::event::{
    Event,
    decode::{DecodeError, KernelNames, decode},
};

/// Decodes at most `limit` records and gives each result to `take`, until `take` returns `Break`. Returns the number of
/// records, without the one that caused the break.
pub fn drain<T: Borrow<MapData>>(
    ring: &mut RingBuf<T>,
    names: &KernelNames,
    limit: usize,
    take: &mut impl FnMut(Result<Event, DecodeError>) -> ControlFlow<()>,
) -> usize {
    for taken in 0..limit {
        let Some(record) = ring.next() else { return taken };
        if take(decode(&record, names)).is_break() {
            return taken;
        }
    }
    limit
}
