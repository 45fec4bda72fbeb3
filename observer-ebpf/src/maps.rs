//! Every map of the BPF programs.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use observer_ebpf::abi::counter::{self, Loss};

/// Carries every record. User space reads it on a timer, so no record wakes a process. The loader sets the size.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Counters, by the indices of `abi::counter`.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);

/// Thread → time (ns) of the last SIGPIPE that was generated for it and not ignored.
///
/// `sk_stream_error` sends the signal just before `sock_send_length` reports the failed send of the same thread.
/// This map and the next four are LRU: the kernel then evicts entries that no program ever removes.
#[map]
pub(crate) static SIGPIPES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// Thread → id of the socket whose `close()` lingers in it.
#[map]
pub(crate) static LINGERING_CLOSES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// Thread → the listener that it closed last, and when (see `set_state.rs`). Next it resets the queued connections.
#[map]
pub(crate) static CLOSED_LISTENERS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Thread → id of the socket without a file that it is closing (see `fileless_close.rs`).
#[map]
pub(crate) static FILELESS_CLOSES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Thread → the ended connection (see `Sock::ended_connection_id`) of its last failed send inside `sendfile()` or
/// `splice()`.
#[map]
pub(crate) static FAILED_SENDS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(256, 0);

/// Stores a value for a thread, or counts that the map refused it.
#[inline(always)]
pub(crate) fn insert_or_count(map: &LruHashMap<u64, u64>, thread: u64, value: u64) {
    if map.insert(thread, value, 0).is_err() {
        count(Loss::MarkRefused as u32);
    }
}

/// A socket whose change to CLOSE was reported, with the information that no process holds it any more.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ReportedClose {
    /// The socket's id, as in records.
    pub(crate) sock: u64,
    /// Time of the change, `CLOCK_MONOTONIC`, ns.
    pub(crate) ns: u64,
}

/// The last such socket on this CPU.
#[map]
pub(crate) static LAST_REPORTED: PerCpuArray<ReportedClose> = PerCpuArray::with_max_entries(1, 0);

/// Keys of the events that a hook's first program handled on one CPU (see `reentrancy.rs`).
#[repr(C)]
pub(crate) struct HandledKeys {
    /// 0 in a free slot.
    pub(crate) keys: [u64; Self::SLOTS],
}

impl HandledKeys {
    /// A power of two.
    pub(crate) const SLOTS: usize = 64;
}

/// One entry per `reentrancy::Hook`.
#[map]
pub(crate) static HANDLED: PerCpuArray<HandledKeys> = PerCpuArray::with_max_entries(3, 0);

/// Adds one to the counter with this index of `abi::counter`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the map returned this CPU's entry. A BPF program does not preempt itself on its CPU. If another
        // program interrupts it, at most this addition is lost.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}
