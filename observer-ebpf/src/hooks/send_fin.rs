//! `tcp_send_fin(sk)`: our FIN is queued. The cause is `shutdown()` or `close()`, or an earlier such call that came
//! during the handshake.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use observer_ebpf::abi::record::{FinQueued, kind};

use crate::{args::Args, emit::emit, sock::Sock};

#[fentry(function = "tcp_send_fin")]
pub(crate) fn fe_send_fin(ctx: FEntryContext) -> i32 {
    on_send_fin(&ctx)
}

#[kprobe(function = "tcp_send_fin")]
pub(crate) fn kp_send_fin(ctx: ProbeContext) -> u32 {
    on_send_fin(&ctx) as u32
}

#[inline(always)]
fn on_send_fin(args: &impl Args) -> i32 {
    let sk = Sock::new(args.arg_u64(0));
    emit(FinQueued { header: sk.header(kind::FIN_QUEUED, false), state: sk.state(), pad: 0 });
    0
}
