//! `inet_sock_set_state(sk, old, new)`: fires just before `sk_state` is stored.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Opened, StateChange, kind};

use crate::{
    emit::emit,
    sock::{
        Sock,
        state::{CLOSE, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LISTEN, SYN_RECV, SYN_SENT},
    },
    task,
};

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn rt_set_state(ctx: RawTracePointContext) -> i32 {
    on_set_state(Sock(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
    0
}

#[inline(always)]
fn on_set_state(sk: Sock, old: u32, new: u32) {
    match (old, new) {
        // connect(): the caller holds the socket.
        (_, SYN_SENT) if sk.is_tcp() => opened(sk, true),
        // The handshake of an accepted connection is complete; `current` is whoever the packet interrupted.
        (SYN_RECV, ESTABLISHED) if sk.is_tcp() => opened(sk, false),
        // Not an end: the rest of a handshake, and a listener's own life.
        (SYN_SENT, ESTABLISHED) | (LISTEN, _) | (_, LISTEN | SYN_RECV | SYN_SENT | ESTABLISHED) => {}
        (CLOSE, CLOSE) => {}
        // Our FIN is acknowledged. An orphan goes on to CLOSE at once and says it there.
        (FIN_WAIT1, FIN_WAIT2) if sk.is_dead() => {}
        _ if sk.is_tcp() => {
            let (header, task) = sk.seen_by_holder(kind::STATE_CHANGE);
            emit(StateChange { header, task, socket: sk.view(), old, new });
        }
        _ => {}
    }
}

#[inline(always)]
fn opened(sk: Sock, by_us: bool) {
    let task = if by_us { task::current() } else { task::NONE };
    emit(Opened { header: sk.header(kind::OPENED, by_us), task, by_us: u32::from(by_us), pad: 0 });
}
