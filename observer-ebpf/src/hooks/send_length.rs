//! `sock_send_length(sk, ret, flags)`: every send on every socket (6.3 and later).
//!
//! The only hook on the data path, used only if the kernel offers neither fentry nor kprobe. A successful send returns
//! at once.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    hooks::{
        signal::take_sigpipe,
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
            on_write_error(sk, -ret, || ret == -EPIPE && take_sigpipe());
        }
    } else {
        count_full(ret, || Sock::new(ctx.arg(0)));
    }
    0
}
