//! `tcp_send_active_reset(sk, [gfp,] [reason])`: our side decided to reset.
//!
//! It comes before the reset is sent, and so before a peer on this host reacts to it; the tracepoint comes after, and
//! not at all where there is no memory for the segment. OutRsts counts what this counts.

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
    let sk = Sock::new(args.number(0));
    // Only TCP and the subflows of MPTCP, which are TCP sockets, come here.
    let header = sk.header(kind::RESET_SENT, false);
    emit(ResetSent { header, reason: reason(args), active: 1, state: sk.state(), flags: sk.flags() });
    0
}

/// Both places are read, since the verifier allows no computed one; what is not an argument is not looked at.
#[inline(always)]
fn reason(args: &impl Args) -> u32 {
    let (second, third) = (args.number(1) as u32, args.number(2) as u32);
    match get(ACTIVE_REASON_ARG) {
        1 => second,
        2 => third,
        _ => NO_REASON,
    }
}
