//! `signal_generate(sig, …)`: whether a failing send came with SIGPIPE.
//!
//! `sock_send_length` does not carry the caller's MSG_NOSIGNAL, so the signal itself is the evidence. It is
//! generated (and traced) also where the process ignores it.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::counter;

use crate::{
    maps::{SIGPIPES, count},
    sock::now,
};

const SIGPIPE: i32 = 13;

/// `sk_stream_error` sends the signal right before the send returns; an older mark is of another write.
const MARK_LIFE_NS: u64 = 10_000_000;

#[raw_tracepoint(tracepoint = "signal_generate")]
pub(crate) fn rt_signal(ctx: RawTracePointContext) -> i32 {
    let signal: i32 = ctx.arg(0);
    if signal == SIGPIPE {
        let thread = bpf_get_current_pid_tgid();
        if SIGPIPES.insert(&thread, &now(), 0).is_err() {
            count(counter::MARK_REFUSED);
        }
    }
    0
}

/// Whether SIGPIPE was just generated for the running thread; takes the mark.
#[inline(always)]
pub(crate) fn took_sigpipe() -> bool {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the value is read at once; only this thread inserts and removes its key.
    let marked = unsafe { SIGPIPES.get(&thread) }.copied();
    // A failed removal means the LRU was faster, which is as good.
    let _gone = SIGPIPES.remove(&thread);
    marked.is_some_and(|ns| now() - ns < MARK_LIFE_NS)
}
