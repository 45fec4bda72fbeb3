//! `tcp_receive_reset(sk)`: the entry of `tcp_reset()`, before the function changes anything.
//!
//! It also fires when late data ends a connection that we had closed (`tcp_rcv_state_process`, TCPAbortOnData). Our own
//! reset follows in that case.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{ResetReceived, kind};

use crate::{
    emit::emit,
    reentrancy::{Hook, mark_handled, take_handled},
    sock::Sock,
};

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn rt_recv_reset(ctx: RawTracePointContext) -> i32 {
    mark_handled(Hook::ReceiveReset, ctx.arg(0));
    on_receive_reset(Sock::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn rt_recv_reset2(ctx: RawTracePointContext) -> i32 {
    if !take_handled(Hook::ReceiveReset, ctx.arg(0)) {
        on_receive_reset(Sock::new(ctx.arg(0)));
    }
    0
}

#[inline(always)]
fn on_receive_reset(sk: Sock) {
    // Only TCP has this tracepoint, so the protocol needs no check.
    emit(ResetReceived { header: sk.header(kind::RESET_RECEIVED, false), state: sk.state(), pad: 0 });
}
