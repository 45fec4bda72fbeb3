//! `__tcp_close(sk, timeout)`: the `close()` of sockets that have no file (see `fileless_close.rs`).
//!
//! If the return of the function is not traced, the entry stays until the thread closes the next such socket.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe},
    programs::{FEntryContext, FExitContext, ProbeContext},
};

use crate::{args::Args, fileless_close, sock::Sock};

#[fentry(function = "__tcp_close")]
pub(crate) fn fe_close(ctx: FEntryContext) -> i32 {
    on_close(&ctx)
}

#[kprobe(function = "__tcp_close")]
pub(crate) fn kp_close(ctx: ProbeContext) -> u32 {
    on_close(&ctx) as u32
}

#[fexit(function = "__tcp_close")]
pub(crate) fn fx_close(_ctx: FExitContext) -> i32 {
    fileless_close::end();
    0
}

#[inline(always)]
fn on_close(args: &impl Args) -> i32 {
    let sk = Sock::new(args.arg_u64(0));
    if !sk.has_file() {
        fileless_close::begin(sk.id());
    }
    0
}
