//! `tcp_send_reset(sk, skb[, reason])`: the last step of sending an RST.
//!
//! Without `skb` our side decided (`tcp_send_active_reset`), with it a segment provoked the reset. `sk` may be a
//! full socket, a TIME_WAIT socket, a listener (for a request of its) or NULL. Before 6.10 the last three stay
//! silent.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::{
    offset::ABSENT,
    record::{Header, NO_REASON, ResetSent, StrayReset, kind},
};

use crate::{
    emit::emit,
    settings::{RESET_REASON_ARG, get},
    sock::{
        Sock, endpoints_of_segment, now,
        state::{LISTEN, NEW_SYN_RECV, TIME_WAIT},
    },
};

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn rt_send_reset(ctx: RawTracePointContext) -> i32 {
    // The verifier knows the setting, so only one arm is left in the loaded program.
    let reason = match get(&RESET_REASON_ARG) {
        ABSENT => NO_REASON,
        1 => ctx.arg(1),
        _ => ctx.arg(2),
    };
    on_send_reset(Sock(ctx.arg(0)), ctx.arg(1), reason);
    0
}

#[inline(always)]
fn on_send_reset(sk: Sock, skb: u64, reason: u32) {
    let state = if sk.0 == 0 { 0 } else { sk.state() };
    match state {
        0 | LISTEN | NEW_SYN_RECV if skb != 0 => stray(endpoints_of_segment(skb), reason, state),
        TIME_WAIT => stray(sk.endpoints(false), reason, state),
        _ if sk.0 != 0 && sk.is_tcp() => {
            let (header, task) = sk.seen_by_holder(kind::RESET_SENT);
            emit(ResetSent { header, task, socket: sk.view(), reason, active: u32::from(skb == 0) });
        }
        _ => {}
    }
}

#[inline(always)]
fn stray(endpoints: observer_ebpf::abi::record::Endpoints, reason: u32, state: u32) {
    let header = Header { kind: kind::STRAY_RESET, has_task: 0, ns: now(), sock: 0 };
    emit(StrayReset { header, endpoints, reason, state });
}
