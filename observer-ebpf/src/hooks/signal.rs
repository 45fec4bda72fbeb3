//! `signal_generate(sig, …)` and `signal_deliver(sig, …)`: SIGPIPE of failing sends, and interrupted lingering closes.
//!
//! A generated SIGPIPE shows that a failing send raised it. `sock_send_length` does not carry the caller's
//! MSG_NOSIGNAL, so the signal itself is the evidence. The kernel also traces a signal that the process ignores, and
//! says so.
//!
//! A delivered signal shows that a lingering `close()` was interrupted. A pending signal ends the wait, and the kernel
//! delivers it when the call returns.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Header, LingerInterrupted, kind};

use crate::{
    emit::emit,
    maps::{LINGERING_CLOSES, SIGPIPES, insert_or_count},
    settings::{
        SIGACTION_HANDLER, SIGACTION_SIZE, SIGHAND_ACTION, SIGNAL_FLAGS, TASK_BLOCKED, TASK_PTRACE,
        TASK_REAL_BLOCKED, TASK_SIGHAND, TASK_SIGNAL, get,
    },
    sock::now,
    task::{current_task_address, member, member_at},
};

const SIGPIPE: u32 = 13;

/// Fifth argument of `signal_generate` for a signal without effect (`include/trace/events/signal.h`).
const TRACE_SIGNAL_IGNORED: u32 = 1;

/// Signal handlers (`include/uapi/asm-generic/signal-defs.h`).
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

/// Flag of the first process of a pid namespace (`include/linux/sched/signal.h`).
const SIGNAL_UNKILLABLE: u32 = 0x40;

/// `sk_stream_error` sends the signal right before the send returns. An older entry belongs to another write.
const SIGPIPE_MAX_AGE_NS: u64 = 100_000_000;

#[raw_tracepoint(tracepoint = "signal_generate")]
pub(crate) fn rt_sig_generate(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(0) == SIGPIPE && ctx.arg::<u32>(4) != TRACE_SIGNAL_IGNORED {
        insert_or_count(&SIGPIPES, bpf_get_current_pid_tgid(), now());
    }
    0
}

#[raw_tracepoint(tracepoint = "signal_deliver")]
pub(crate) fn rt_sig_deliver(ctx: RawTracePointContext) -> i32 {
    on_delivered(ctx.arg(0));
    0
}

/// Reports the first signal after a lingering `close()`. User space knows whether the wait was over by then.
#[inline(always)]
fn on_delivered(signal: u32) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the value is read at once, and only this thread inserts and removes its key.
    let Some(sock) = (unsafe { LINGERING_CLOSES.get(thread) }).copied() else { return };
    // A failed removal means that the LRU has evicted the entry, which is just as good.
    let _removed = LINGERING_CLOSES.remove(thread);
    let header = Header { kind: kind::LINGER_INTERRUPTED, has_task: 0, ns: now(), sock };
    emit(LingerInterrupted { header, signal, tid: thread as u32 });
}

/// Whether the current thread ignores SIGPIPE, by the rules of `sig_ignored()` in `kernel/signal.c`.
///
/// A blocked signal is not ignored, since it may have an effect later. Nor is a signal of a traced thread, since the
/// tracer sees it.
#[inline(always)]
pub(crate) fn ignores_sigpipe() -> bool {
    let task = current_task_address();
    let (blocked, really): (u64, u64) = (member(task, TASK_BLOCKED), member(task, TASK_REAL_BLOCKED));
    if (blocked | really) & (1 << (SIGPIPE - 1)) != 0 || member::<u32>(task, TASK_PTRACE) != 0 {
        return false;
    }
    let actions: u64 = member(task, TASK_SIGHAND);
    let offset = get(SIGHAND_ACTION) + u64::from(SIGPIPE - 1) * get(SIGACTION_SIZE) + get(SIGACTION_HANDLER);
    let handler: u64 = member_at(actions, offset);
    let signal: u64 = member(task, TASK_SIGNAL);
    let unkillable = member::<u32>(signal, SIGNAL_FLAGS) & SIGNAL_UNKILLABLE != 0;
    handler == SIG_IGN || (handler == SIG_DFL && unkillable)
}

/// Whether SIGPIPE was just generated for the current thread and not ignored. Removes the entry.
#[inline(always)]
pub(crate) fn take_sigpipe() -> bool {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: as above.
    let generated = unsafe { SIGPIPES.get(thread) }.copied();
    let _removed = SIGPIPES.remove(thread);
    generated.is_some_and(|ns| now() - ns < SIGPIPE_MAX_AGE_NS)
}
