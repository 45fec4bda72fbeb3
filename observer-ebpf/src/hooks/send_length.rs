//! `sock_send_length(sk, ret, flags)`: every send on every socket (6.3 and later).
//!
//! The one hook on the data path, for kernels that offer neither fentry nor kprobe: success returns first.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    hooks::{
        signal::took_sigpipe,
        stream_error::{EPIPE, count_full, is_failure, on_write_error},
    },
    sock::Sock,
};

#[raw_tracepoint(tracepoint = "sock_send_length")]
pub(crate) fn rt_send_length(ctx: RawTracePointContext) -> i32 {
    let ret: i32 = ctx.arg(1);
    if is_failure(ret) {
        let sk = Sock::new(ctx.arg(0));
        if sk.is_internet() {
            on_write_error(sk, -ret, || ret == -EPIPE && took_sigpipe());
        }
    } else {
        count_full(ret, || Sock::new(ctx.arg(0)));
    }
    0
}
