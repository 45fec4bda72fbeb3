//! `inet_sk_error_report(sk)`: an error was put on the socket and its process is woken (5.14 and later).

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{ErrorReport, kind};

use crate::{emit::emit, sock::Sock};

#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
pub(crate) fn rt_error_report(ctx: RawTracePointContext) -> i32 {
    on_error_report(Sock::new(ctx.arg(0)));
    0
}

#[inline(always)]
fn on_error_report(sk: Sock) {
    // tcp_disconnect() reports too, after it has cleared the remote port: it is told by what it does.
    if sk.remote_port() != 0 && sk.is_tcp() {
        let header = sk.header(kind::ERROR_REPORT, false);
        emit(ErrorReport { header, err: sk.err(), pad: 0 });
    }
}
