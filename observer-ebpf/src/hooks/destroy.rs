//! `tcp_destroy_sock(sk)`: the last tracepoint of a TCP socket.
//!
//! A record is sent only if the change to CLOSE did not already say that no process holds the socket any more.
//!
//! If a system call holds the socket, a process closes a connection that had ended before. This is then the only sign
//! of the process that held it. If no system call holds it, no process ever held it: a listener releases a connection
//! of its queue (`inet_child_forget` disconnects first and orphans then). The kernel may reuse such a socket at once.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Destroyed, flag, kind};

use crate::{
    emit::emit,
    maps::{LAST_REPORTED, ReportedClose},
    sock::{Sock, now},
    task,
};

#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub(crate) fn rt_destroy(ctx: RawTracePointContext) -> i32 {
    on_destroy(Sock::new(ctx.arg(0)));
    0
}

#[inline(always)]
fn on_destroy(sk: Sock) {
    if take_reported(sk) {
        return;
    }
    let done = sk.kernel_flags() & flag::DONE != 0;
    let (rcv_nxt, copied_seq) = sk.receive_queue();
    let header = sk.header(kind::DESTROYED, sk.is_owned());
    emit(Destroyed { header, task: task::current(), rcv_nxt, copied_seq, done: u32::from(done), pad: 0 });
}

/// Age up to which an entry of [`LAST_REPORTED`] is valid, ns.
///
/// A call that moves to another CPU in between leaves its entry behind, and the kernel reuses the socket.
const MAX_AGE_NS: u64 = 1 << 20;

/// Records that the socket's change to CLOSE, at this time, reported that no process holds it any more.
#[inline(always)]
pub(crate) fn remember_reported(sk: Sock, ns: u64) {
    if let Some(last) = LAST_REPORTED.get_ptr_mut(0) {
        // SAFETY: the map returned this CPU's entry. A packet's hook that runs in between overwrites it. The socket
        // is then reported twice, which does no harm.
        unsafe { *last = ReportedClose { sock: sk.id(), ns } };
    }
}

/// Whether [`remember_reported`] was called for this socket just now on this CPU.
///
/// Removes the entry, since the kernel may reuse the socket at once.
#[inline(always)]
fn take_reported(sk: Sock) -> bool {
    let Some(last) = LAST_REPORTED.get_ptr_mut(0) else { return false };
    // SAFETY: as above.
    unsafe {
        let ReportedClose { sock, ns } = *last;
        let same = sock == sk.id();
        if same {
            (*last).sock = 0;
        }
        same && now().wrapping_sub(ns) < MAX_AGE_NS
    }
}
