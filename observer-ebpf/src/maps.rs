//! Every map of the kernel side.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use observer_ebpf::abi::counter;

/// Carries every record. User space reads it on a timer: no record wakes anybody. The size is set at load.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// What could not be delivered, by `abi::counter`.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);

/// Thread → time (ns) at which SIGPIPE was last generated for it.
///
/// `sk_stream_error` sends the signal just before `sock_send_length` reports the failed send of the same thread.
/// LRU, since a SIGPIPE from a pipe leaves a mark that nobody collects.
#[map]
pub(crate) static SIGPIPES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// The socket whose change to CLOSE was the last to be told with nobody having it, on this CPU.
#[map]
pub(crate) static LAST_TOLD: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Adds one to a counter of `abi::counter`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the map returned this CPU's slot; a BPF program is not preempted by itself on its CPU, and a
        // nested one loses at most this addition.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}
