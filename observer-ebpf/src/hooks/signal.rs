//! `signal_generate(sig, …)` and `signal_deliver(sig, …)`: what signals have to do with sockets.
//!
//! Generated: whether a failing send came with SIGPIPE. `sock_send_length` does not carry the caller's MSG_NOSIGNAL,
//! so the signal itself is the evidence. The kernel traces it also where the process ignores it, and says so.
//!
//! Delivered: that a lingering `close()` was interrupted. The wait ends for a pending signal, and the signal is
//! delivered when the call returns.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Header, LingerInterrupted, kind};

use crate::{
    emit::emit,
    maps::{LINGERS, SIGPIPES, note},
    settings::{
        SIGACTION_HANDLER, SIGACTION_SIZE, SIGHAND_ACTION, SIGNAL_FLAGS, TASK_BLOCKED, TASK_PTRACE,
        TASK_REAL_BLOCKED, TASK_SIGHAND, TASK_SIGNAL, get,
    },
    sock::now,
    task::{member, member_at, running},
};

const SIGPIPE: u32 = 13;

/// The fifth argument of `signal_generate`, for a signal that has no effect (`include/trace/events/signal.h`).
const TRACE_SIGNAL_IGNORED: u32 = 1;

/// Signal handlers (`include/uapi/asm-generic/signal-defs.h`).
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

/// Of the first process of a pid namespace (`include/linux/sched/signal.h`).
const SIGNAL_UNKILLABLE: u32 = 0x40;

/// `sk_stream_error` sends the signal right before the send returns; an older mark is of another write.
const MARK_LIFE_NS: u64 = 100_000_000;

#[raw_tracepoint(tracepoint = "signal_generate")]
pub(crate) fn rt_sig_generate(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(0) == SIGPIPE && ctx.arg::<u32>(4) != TRACE_SIGNAL_IGNORED {
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

/// Whether the running thread ignores SIGPIPE, as `sig_ignored()` in `kernel/signal.c` decides it: a blocked signal may
/// have an effect later, and a tracer sees one that is ignored.
#[inline(always)]
pub(crate) fn ignores_sigpipe() -> bool {
    let task = running();
    let (blocked, really): (u64, u64) = (member(task, TASK_BLOCKED), member(task, TASK_REAL_BLOCKED));
    if (blocked | really) & (1 << (SIGPIPE - 1)) != 0 || member::<u32>(task, TASK_PTRACE) != 0 {
        return false;
    }
    let actions: u64 = member(task, TASK_SIGHAND);
    let place = get(SIGHAND_ACTION) + u64::from(SIGPIPE - 1) * get(SIGACTION_SIZE) + get(SIGACTION_HANDLER);
    let handler: u64 = member_at(actions, place);
    let signal: u64 = member(task, TASK_SIGNAL);
    let unkillable = member::<u32>(signal, SIGNAL_FLAGS) & SIGNAL_UNKILLABLE != 0;
    handler == SIG_IGN || (handler == SIG_DFL && unkillable)
}

/// Whether SIGPIPE was just generated for the running thread, and not ignored; takes the mark.
#[inline(always)]
pub(crate) fn took_sigpipe() -> bool {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: as above.
    let marked = unsafe { SIGPIPES.get(thread) }.copied();
    let _gone = SIGPIPES.remove(thread);
    marked.is_some_and(|ns| now() - ns < MARK_LIFE_NS)
}
