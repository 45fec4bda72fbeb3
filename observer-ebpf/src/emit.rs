//! Reserve, write in place, submit; a refused reservation is counted.

use aya_ebpf::maps::ring_buf::RingBufEntry;
use observer_ebpf::abi::counter;

use crate::maps::{RECORDS, count};

/// `BPF_RB_NO_WAKEUP` (`include/uapi/linux/bpf.h`): the reader comes by itself.
const NO_WAKEUP: u64 = 1;

/// Sends one record to user space.
#[inline(always)]
pub(crate) fn emit<T: 'static>(record: T) {
    if let Some(mut place) = reserve::<T>() {
        place.write(record);
        submit(place);
    }
}

/// A place for a record that is written there: a large one has no room on the 512-byte stack. Whoever has it writes every
/// byte and calls [`submit`].
#[inline(always)]
pub(crate) fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    let place = RECORDS.reserve::<T>(0);
    if place.is_none() {
        count(counter::RING_FULL);
    }
    place
}

/// Sends what was written in its place.
#[inline(always)]
pub(crate) fn submit<T>(place: RingBufEntry<T>) {
    place.submit(NO_WAKEUP);
}
