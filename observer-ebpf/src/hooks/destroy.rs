//! `tcp_destroy_sock(sk)`: a TCP socket's last tracepoint.
//!
//! Only told where a system call holds the socket: then a process closes a connection that had ended before, and
//! this is the only sign of who had it. An orphan's last state change has said everything already.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Destroyed, kind};

use crate::{emit::emit, sock::Sock, task};

#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub(crate) fn rt_destroy(ctx: RawTracePointContext) -> i32 {
    on_destroy(Sock(ctx.arg(0)));
    0
}

#[inline(always)]
fn on_destroy(sk: Sock) {
    // Without a local port it never connected. (The remote one is no sign: a refused connect() has cleared it.)
    if sk.is_owned() && sk.local_port() != 0 && sk.is_tcp() {
        let header = sk.header(kind::DESTROYED, true);
        emit(Destroyed { header, task: task::current(), socket: sk.view() });
    }
}
