//! Which thread is closing a socket that has no file.
//!
//! `Sock` recognizes the `close()` of a process's socket by the last reference to its file. Sockets of the kernel
//! itself, among them MPTCP's subflows, have no file. For these the hook on `__tcp_close` records the call while it
//! runs.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::maps::{FILELESS_CLOSES, insert_or_count};

/// Records that the current thread starts to close the socket with this id.
#[inline(always)]
pub(crate) fn begin(sock: u64) {
    insert_or_count(&FILELESS_CLOSES, bpf_get_current_pid_tgid(), sock);
}

/// Records that the current thread has left `__tcp_close`.
#[inline(always)]
pub(crate) fn end() {
    // Most sockets have a file and so no entry: a failed removal is normal.
    let _removed = FILELESS_CLOSES.remove(bpf_get_current_pid_tgid());
}

/// Id of the socket that the current thread is closing, if it is one without a file.
#[inline(always)]
pub(crate) fn current() -> Option<u64> {
    // SAFETY: the value is read at once, and only this thread inserts and removes its key.
    unsafe { FILELESS_CLOSES.get(bpf_get_current_pid_tgid()) }.copied()
}
