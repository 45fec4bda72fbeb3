//! The live ring buffer → events.

use std::{borrow::Borrow, ops::ControlFlow};

use aya::maps::{MapData, RingBuf};

use crate::event::{
    Event,
    decode::{DecodeError, KernelNames, decode},
};

/// Takes at most `limit` records and hands each on, decoded or not, until `take` has enough. Returns how many it took.
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
