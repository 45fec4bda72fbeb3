//! `tcp_destroy_sock(sk)`: a TCP socket's last tracepoint.
//!
//! Only told where the change to CLOSE did not say that nobody has the socket any more. Where a system call holds it, a
//! process closes a connection that had ended before, and this is the only sign of who had it. Where none does, nobody
//! ever had it: a listener lets go of what it had queued (`inet_child_forget` disconnects first and orphans then), and the
//! kernel may give its place to another process at once.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Destroyed, flag, kind};

use crate::{
    emit::emit,
    maps::{LAST_TOLD, Told},
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
    if was_told(sk) {
        return;
    }
    let done = sk.kernel_flags() & flag::DONE != 0;
    let (rcv_nxt, copied_seq) = sk.receive_queue();
    let header = sk.header(kind::DESTROYED, sk.is_owned());
    emit(Destroyed { header, task: task::current(), rcv_nxt, copied_seq, done: u32::from(done), pad: 0 });
}

/// How long a note is believed, ns. A call that is moved to another CPU between the two leaves its note behind, and the
/// kernel uses the socket again.
const NOTE_LIFE: u64 = 1 << 20;

/// Notes that the socket's change to CLOSE, at this time, told that nobody has it any more.
#[inline(always)]
pub(crate) fn told(sk: Sock, ns: u64) {
    if let Some(last) = LAST_TOLD.get_ptr_mut(0) {
        // SAFETY: the map returned this CPU's slot. A packet's hook that comes in between overwrites it, and then
        // the socket is told twice, which does no harm.
        unsafe { *last = Told { sock: sk.name(), ns } };
    }
}

/// Whether [`told`] was the last word on this CPU, just now; takes the note, since the kernel uses the socket again at once.
#[inline(always)]
fn was_told(sk: Sock) -> bool {
    let Some(last) = LAST_TOLD.get_ptr_mut(0) else { return false };
    // SAFETY: as above.
    unsafe {
        let Told { sock, ns } = *last;
        let same = sock == sk.name();
        if same {
            (*last).sock = 0;
        }
        same && now().wrapping_sub(ns) < NOTE_LIFE
    }
}
