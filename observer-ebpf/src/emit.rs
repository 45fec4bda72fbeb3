//! Reserve, write in place, submit; a refused reservation is counted.

use observer_ebpf::abi::counter;

use crate::maps::{RECORDS, count};

/// `BPF_RB_NO_WAKEUP` (`include/uapi/linux/bpf.h`): the reader comes by itself.
const NO_WAKEUP: u64 = 1;

/// Sends one record to user space.
#[inline(always)]
pub(crate) fn emit<T: 'static>(record: T) {
    emit_in_place(|place: *mut T| {
        // SAFETY: the place is reserved for one T.
        unsafe { place.write(record) };
    });
}

/// Sends the record that `fill` writes in place: a large record has no room on the 512-byte stack.
///
/// `fill` must write every byte.
#[inline(always)]
pub(crate) fn emit_in_place<T: 'static>(fill: impl FnOnce(*mut T)) {
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            fill(entry.as_mut_ptr());
            entry.submit(NO_WAKEUP);
        }
        None => count(counter::RING_FULL),
    }
}
