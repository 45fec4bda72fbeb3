//! `tcp_receive_reset(sk)`: entry of `tcp_reset()`, before it changes anything.
//!
//! It also fires when late data kills a connection that we had closed (`tcp_rcv_state_process`, TCPAbortOnData);
//! a reset of ours follows then.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{ResetReceived, kind};

use crate::{
    again::{Hook, has_run, runs},
    emit::emit,
    sock::Sock,
};

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn rt_recv_reset(ctx: RawTracePointContext) -> i32 {
    runs(Hook::ReceiveReset, ctx.arg(0));
    on_receive_reset(Sock::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn rt_recv_reset2(ctx: RawTracePointContext) -> i32 {
    if !has_run(Hook::ReceiveReset, ctx.arg(0)) {
        on_receive_reset(Sock::new(ctx.arg(0)));
    }
    0
}

#[inline(always)]
fn on_receive_reset(sk: Sock) {
    // Only TCP has the tracepoint, so there is no protocol to check.
    emit(ResetReceived { header: sk.header(kind::RESET_RECEIVED, false), state: sk.state(), pad: 0 });
}
