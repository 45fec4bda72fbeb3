//! `tcp_send_reset(sk, skb[, reason])`: the last step of sending an RST.
//!
//! Without `skb` our side decided (`tcp_send_active_reset`), with it a segment provoked the reset. `sk` may be a
//! full socket, a TIME_WAIT socket, a listener (for a request of its) or NULL. Before 6.10 the last three stay
//! silent.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use aya_log_ebpf::error;
use observer_ebpf::abi::record::{Endpoints, Header, NO_REASON, ResetSent, StrayReset, kind};

use crate::{
    again::{Hook, has_run, runs},
    emit::emit,
    segment::{asks_for_connection, endpoints_of_segment},
    settings::{RESET_REASON_ARG, get},
    sock::{
        Sock, now,
        state::{LISTEN, NEW_SYN_RECV, SYN_RECV, SYN_SENT, TIME_WAIT},
    },
};

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn rt_send_reset(ctx: RawTracePointContext) -> i32 {
    runs(Hook::SendReset, key(&ctx));
    handle(&ctx);
    0
}

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn rt_send_reset2(ctx: RawTracePointContext) -> i32 {
    if !has_run(Hook::SendReset, key(&ctx)) {
        handle(&ctx);
    }
    0
}

/// Either may be NULL, not both; turned, so that they do not cancel out.
#[inline(always)]
fn key(ctx: &RawTracePointContext) -> u64 {
    ctx.arg::<u64>(0) ^ ctx.arg::<u64>(1).rotate_left(8)
}

#[inline(always)]
fn handle(ctx: &RawTracePointContext) {
    // The verifier takes a context argument only at a constant position: where BTF says another one than this,
    // the reason stays unknown and the socket's fields decide.
    let reason = if get(RESET_REASON_ARG) == 2 { ctx.arg(2) } else { NO_REASON };
    if !on_send_reset(ctx.arg(0), ctx.arg(1), reason) {
        error!(ctx, "tcp_send_reset: a socket that is not TCP's");
    }
}

/// False when the socket cannot be: only TCP sends these resets.
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
        // tcp_rcv_state_process: the handshake goes on after a segment that is not of it (RFC 9293, 3.10.7.3).
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

#[inline(always)]
pub(crate) fn stray(endpoints: Endpoints, reason: u32, state: u32, asks: bool) {
    let header = Header { kind: kind::STRAY_RESET, has_task: 0, ns: now(), sock: 0 };
    emit(StrayReset { header, endpoints, reason, state, asks: u32::from(asks) });
}
