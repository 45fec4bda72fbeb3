//! Sending records to user space: reserve, write in place, submit. A refused reservation is counted.

use aya_ebpf::maps::ring_buf::RingBufEntry;
use observer_ebpf::abi::counter::Loss;

use crate::maps::{RECORDS, count};

/// `BPF_RB_NO_WAKEUP` (`include/uapi/linux/bpf.h`): user space reads on a timer and needs no wake-up.
const NO_WAKEUP: u64 = 1;

/// Sends one record to user space.
#[inline(always)]
pub(crate) fn emit<T: 'static>(record: T) {
    if let Some(mut entry) = reserve::<T>() {
        entry.write(record);
        submit(entry);
    }
}

/// Reserves room in the ring buffer for a record that is written there directly.
///
/// Large records need this, since they do not fit on the 512-byte stack. The caller must write every byte and then
/// call [`submit`].
#[inline(always)]
pub(crate) fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = RECORDS.reserve::<T>(0);
    if entry.is_none() {
        count(Loss::RingFull as u32);
    }
    entry
}

/// Sends a record that was written in place.
#[inline(always)]
pub(crate) fn submit<T>(entry: RingBufEntry<T>) {
    entry.submit(NO_WAKEUP);
}
