//! `tcp_send_reset(sk, skb[, reason])`: the last step of sending an RST.
//!
//! Without `skb` our side decided to reset (`tcp_send_active_reset`). With `skb` that segment provoked the reset.
//! `sk` may be a full socket, a TIME_WAIT socket, a listener (for one of its requests) or NULL. Before 6.10 the
//! tracepoint does not fire for the last three.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use aya_log_ebpf::error;
use observer_ebpf::abi::{
    record::{Endpoints, Header, NO_REASON, ResetSent, StrayReset, kind},
    tcp_state::{LISTEN, NEW_SYN_RECV, SYN_RECV, SYN_SENT, TIME_WAIT},
};

use crate::{
    emit::emit,
    reentrancy::{Hook, mark_handled, take_handled},
    segment::{asks_for_connection, endpoints_of_segment},
    settings::{RESET_REASON_ARG, get},
    sock::{Sock, now},
};

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn rt_send_reset(ctx: RawTracePointContext) -> i32 {
    mark_handled(Hook::SendReset, key(&ctx));
    handle(&ctx);
    0
}

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn rt_send_reset2(ctx: RawTracePointContext) -> i32 {
    if !take_handled(Hook::SendReset, key(&ctx)) {
        handle(&ctx);
    }
    0
}

/// Key of the event: `sk` and `skb`. One of them may be NULL. The rotation keeps them from cancelling each other out.
#[inline(always)]
fn key(ctx: &RawTracePointContext) -> u64 {
    ctx.arg::<u64>(0) ^ ctx.arg::<u64>(1).rotate_left(8)
}

#[inline(always)]
fn handle(ctx: &RawTracePointContext) {
    // The verifier accepts a context argument only at a constant position. If BTF names another position than this
    // one, the reason stays unknown, and user space decides by the socket's fields.
    let reason = if get(RESET_REASON_ARG) == 2 { ctx.arg(2) } else { NO_REASON };
    if !on_send_reset(ctx.arg(0), ctx.arg(1), reason) {
        error!(ctx, "tcp_send_reset: sk is not a TCP socket");
    }
}

/// Returns false if the socket is not a TCP socket, which cannot be: only TCP sends these resets.
#[inline(always)]
fn on_send_reset(address: u64, skb: u64, reason: u32) -> bool {
    if address == 0 {
        if skb != 0 {
            stray(endpoints_of_segment(skb, None), reason, 0, asks_for_connection(skb));
        }
        return true;
    }
    let sk = Sock::new(address);
    let state = sk.state();
    match state {
        // tcp_rcv_state_process: a handshake continues after a segment that does not belong to it (RFC 9293, 3.10.7.3).
        LISTEN | NEW_SYN_RECV | SYN_SENT | SYN_RECV if skb != 0 => {
            stray(endpoints_of_segment(skb, Some(sk)), reason, state, asks_for_connection(skb));
        }
        TIME_WAIT => stray(sk.endpoints(sk.num()), reason, state, false),
        _ if sk.is_tcp() => {
            let header = sk.header(kind::RESET_SENT, false);
            emit(ResetSent { header, reason, active: u32::from(skb == 0), state, flags: sk.flags() });
        }
        _ => return false,
    }
    true
}

/// Sends a record of a reset that was sent for no live connection.
#[inline(always)]
pub(crate) fn stray(endpoints: Endpoints, reason: u32, state: u32, asks: bool) {
    let header = Header { kind: kind::STRAY_RESET, has_task: 0, ns: now(), sock: 0 };
    emit(StrayReset { header, endpoints, reason, state, asks: u32::from(asks) });
}
