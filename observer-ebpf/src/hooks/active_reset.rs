//! `tcp_send_active_reset(sk, [gfp,] [reason])`: our side decided to reset the connection.
//!
//! The function runs before the reset is sent, and so before a peer on this host can react. The tracepoint
//! `tcp_send_reset` fires afterwards, and not at all if there is no memory for the segment. The kernel's counter
//! OutRsts counts calls of this function.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use observer_ebpf::abi::record::{NO_REASON, ResetSent, kind};

use crate::{
    args::Args,
    emit::emit,
    settings::{ACTIVE_REASON_ARG, get},
    sock::Sock,
};

#[fentry(function = "tcp_send_active_reset")]
pub(crate) fn fe_active_reset(ctx: FEntryContext) -> i32 {
    on_active_reset(&ctx)
}

#[kprobe(function = "tcp_send_active_reset")]
pub(crate) fn kp_active_reset(ctx: ProbeContext) -> u32 {
    on_active_reset(&ctx) as u32
}

#[inline(always)]
fn on_active_reset(args: &impl Args) -> i32 {
    let sk = Sock::new(args.arg_u64(0));
    // Only TCP calls this function, also for MPTCP's subflows, which are TCP sockets.
    let header = sk.header(kind::RESET_SENT, false);
    emit(ResetSent { header, reason: reason(args), active: 1, state: sk.state(), flags: sk.flags() });
    0
}

/// Reads both possible positions, since the verifier refuses a computed one. Only the real argument is used.
#[inline(always)]
fn reason(args: &impl Args) -> u32 {
    let (second, third) = (args.arg_u64(1) as u32, args.arg_u64(2) as u32);
    match get(ACTIVE_REASON_ARG) {
        1 => second,
        2 => third,
        _ => NO_REASON,
    }
}
