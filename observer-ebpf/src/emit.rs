//! Reserve, write, submit; a refused reservation is counted.

use observer_ebpf::abi::counter;

use crate::maps::{RECORDS, count};

/// `BPF_RB_NO_WAKEUP` (`include/uapi/linux/bpf.h`): the reader comes by itself.
const NO_WAKEUP: u64 = 1;

/// Sends one record to user space.
#[inline(always)]
pub(crate) fn emit<T: 'static>(record: T) {
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(NO_WAKEUP);
        }
        None => count(counter::RING_FULL),
    }
}
