//! Every map of the kernel side.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use observer_ebpf::abi::counter;

/// Carries every record. User space reads it on a timer: no record wakes anybody. The size is set at load.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// What could not be delivered, and what is only counted, by `abi::counter`.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);

/// Thread → time (ns) at which SIGPIPE was last generated for it and not ignored.
///
/// `sk_stream_error` sends the signal just before `sock_send_length` reports the failed send of the same thread.
/// This and the next four are LRU: a note that nobody collects must not stay.
#[map]
pub(crate) static SIGPIPES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// Thread → the socket (as records name it) whose `close()` it lingers in.
#[map]
pub(crate) static LINGERS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// Thread → the listener that it last closed, and when (see `set_state.rs`): it resets its queued connections next.
#[map]
pub(crate) static LISTENER_CLOSERS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Thread → the socket without a file (as records name it) that it closes.
#[map]
pub(crate) static CLOSERS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Thread → the ended connection (see `Sock::ended_name`) on which a send inside its `sendfile()` or `splice()` last failed.
#[map]
pub(crate) static DEAD_SENDS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Makes a note about a thread; a refusal is counted.
#[inline(always)]
pub(crate) fn note(map: &LruHashMap<u64, u64>, thread: u64, value: u64) {
    if map.insert(thread, value, 0).is_err() {
        count(counter::MARK_REFUSED);
    }
}

/// A socket whose change to CLOSE was told with nobody having it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Told {
    /// As records name it.
    pub(crate) sock: u64,
    /// When.
    pub(crate) ns: u64,
}

/// The last one on this CPU.
#[map]
pub(crate) static LAST_TOLD: PerCpuArray<Told> = PerCpuArray::with_max_entries(1, 0);

/// Keys of the events that a hook's first program handles, on one CPU (see `again.rs`).
#[repr(C)]
pub(crate) struct Ran {
    /// 0 where there is none.
    pub(crate) keys: [u64; Self::PLACES],
}

impl Ran {
    /// A power of two.
    pub(crate) const PLACES: usize = 64;
}

/// By `again::Hook`.
#[map]
pub(crate) static RAN: PerCpuArray<Ran> = PerCpuArray::with_max_entries(3, 0);

/// Adds one to a counter of `abi::counter`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the map returned this CPU's slot; a BPF program is not preempted by itself on its CPU, and a
        // nested one loses at most this addition.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}
