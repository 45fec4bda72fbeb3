//! `sock_send_length(sk, ret, flags)`: every send on every socket (6.3 and later).
//!
//! The one hook on the data path, for kernels that offer neither fentry nor kprobe: success returns first.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{AF_INET, AF_INET6, WriteError, kind};

use crate::{
    emit::emit,
    hooks::signal::took_sigpipe,
    settings::SK_FAMILY,
    sock::{Sock, read},
    task,
};

const EAGAIN: i32 = 11;
const EPIPE: i32 = 32;

#[raw_tracepoint(tracepoint = "sock_send_length")]
pub(crate) fn rt_send_length(ctx: RawTracePointContext) -> i32 {
    let ret: i32 = ctx.arg(1);
    // A full buffer of a non-blocking socket is not an error, and by far the most frequent refusal.
    if ret < 0 && ret != -EAGAIN {
        on_write_error(Sock(ctx.arg(0)), -ret);
    }
    0
}

#[inline(always)]
fn on_write_error(sk: Sock, errno: i32) {
    let family = read::<u16>(sk.0, &SK_FAMILY);
    if (family == AF_INET || family == AF_INET6) && sk.is_tcp() {
        let sigpipe = errno == EPIPE && took_sigpipe();
        emit(WriteError {
            header: sk.header(kind::WRITE_ERROR, true),
            task: task::current(),
            socket: sk.view(),
            errno: errno as u32,
            sigpipe: u32::from(sigpipe),
        });
    }
}
