//! `signal_generate(sig, …)` and `signal_deliver(sig, …)`: what signals have to do with sockets.
//!
//! Generated: whether a failing send came with SIGPIPE. `sock_send_length` does not carry the caller's MSG_NOSIGNAL,
//! so the signal itself is the evidence; it is generated (and traced) also where the process ignores it.
//!
//! Delivered: that a lingering `close()` was interrupted. The wait ends for a pending signal, and the signal is
//! delivered when the call returns.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Header, LingerInterrupted, kind};

use crate::{
    emit::emit,
    maps::{LINGERS, SIGPIPES, note},
    sock::now,
};

const SIGPIPE: u32 = 13;

/// `sk_stream_error` sends the signal right before the send returns; an older mark is of another write.
const MARK_LIFE_NS: u64 = 100_000_000;

#[raw_tracepoint(tracepoint = "signal_generate")]
pub(crate) fn rt_sig_generate(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(0) == SIGPIPE {
        note(&SIGPIPES, bpf_get_current_pid_tgid(), now());
    }
    0
}

#[raw_tracepoint(tracepoint = "signal_deliver")]
pub(crate) fn rt_sig_deliver(ctx: RawTracePointContext) -> i32 {
    on_delivered(ctx.arg(0));
    0
}

/// Tells of every signal after a lingering `close()`; user space knows whether the wait was over by then.
#[inline(always)]
fn on_delivered(signal: u32) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the value is read at once; only this thread inserts and removes its key.
    let Some(sock) = (unsafe { LINGERS.get(thread) }).copied() else { return };
    // A failed removal means the LRU was faster, which is as good.
    let _gone = LINGERS.remove(thread);
    let header = Header { kind: kind::LINGER_INTERRUPTED, has_task: 0, ns: now(), sock };
    emit(LingerInterrupted { header, signal, tid: thread as u32 });
}

/// Whether SIGPIPE was just generated for the running thread; takes the mark.
#[inline(always)]
pub(crate) fn took_sigpipe() -> bool {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: as above.
    let marked = unsafe { SIGPIPES.get(thread) }.copied();
    let _gone = SIGPIPES.remove(thread);
    marked.is_some_and(|ns| now() - ns < MARK_LIFE_NS)
}
