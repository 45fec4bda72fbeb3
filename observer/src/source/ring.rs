//! The live ring buffer → events.

use std::borrow::Borrow;

use aya::maps::{MapData, RingBuf};

use crate::event::{
    Event,
    decode::{DecodeError, KernelNames, decode},
};

/// Takes at most `limit` records and hands each on, decoded or not. Returns how many there were.
pub fn drain<T: Borrow<MapData>>(
    ring: &mut RingBuf<T>,
    names: &KernelNames,
    limit: usize,
    take: &mut impl FnMut(Result<Event, DecodeError>),
) -> usize {
    for taken in 0..limit {
        let Some(record) = ring.next() else { return taken };
        take(decode(&record, names));
    }
    limit
}
