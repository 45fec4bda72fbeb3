//! `tcp_v4_send_reset(sk, skb)`, `tcp_v6_send_reset(sk, skb)`: a segment provoked a reset.
//!
//! Used on kernels before 6.10. Their tracepoint `tcp_send_reset` does not fire without a full socket, so it misses
//! resets for closed ports and TIME_WAIT.
//!
//! The functions return early for a segment that is a reset itself. They also do so for a wrong MD5 signature and for
//! a destination that is no local unicast address. This hook does not check for these two.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use observer_ebpf::abi::{record::NO_REASON, tcp_state::TIME_WAIT};

use crate::{
    args::Args,
    hooks::send_reset::stray,
    segment::{asks_for_connection, endpoints_of_segment, is_reset},
    sock::Sock,
};

#[fentry(function = "tcp_v4_send_reset")]
pub(crate) fn fe_v4_reset(ctx: FEntryContext) -> i32 {
    on_passive_reset(&ctx)
}

#[kprobe(function = "tcp_v4_send_reset")]
pub(crate) fn kp_v4_reset(ctx: ProbeContext) -> u32 {
    on_passive_reset(&ctx) as u32
}

#[fentry(function = "tcp_v6_send_reset")]
pub(crate) fn fe_v6_reset(ctx: FEntryContext) -> i32 {
    on_passive_reset(&ctx)
}

#[kprobe(function = "tcp_v6_send_reset")]
pub(crate) fn kp_v6_reset(ctx: ProbeContext) -> u32 {
    on_passive_reset(&ctx) as u32
}

#[inline(always)]
fn on_passive_reset(args: &impl Args) -> i32 {
    let (address, skb) = (args.arg_u64(0), args.arg_u64(1));
    if is_reset(skb) {
        return 0;
    }
    if address == 0 {
        stray(endpoints_of_segment(skb, None), NO_REASON, 0, asks_for_connection(skb));
    } else {
        let sk = Sock::new(address);
        if sk.state() == TIME_WAIT {
            stray(sk.endpoints(sk.num()), NO_REASON, TIME_WAIT, false);
        }
    }
    0
}
