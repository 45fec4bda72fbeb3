//! `__tcp_close(sk, timeout)`: for the sockets that no file shows to be closed.
//!
//! A process's socket is seen to be closed by the last reference to its file. Sockets of the kernel's own, MPTCP's
//! subflows among them, have no file: for these a note is made for as long as the call runs. Where its return is not
//! traced the note goes when the thread closes the next such socket.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, fexit, kprobe},
    programs::{FEntryContext, FExitContext, ProbeContext},
};

use crate::{
    args::Args,
    maps::{CLOSERS, note},
    sock::Sock,
};

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
    // Nothing is there to remove for most, which is no failure.
    let _gone = CLOSERS.remove(bpf_get_current_pid_tgid());
    0
}

#[inline(always)]
fn on_close(args: &impl Args) -> i32 {
    let sk = Sock::new(args.number(0));
    if !sk.has_file() {
        note(&CLOSERS, bpf_get_current_pid_tgid(), sk.name());
    }
    0
}

/// Whether the running thread closes this socket, as far as a note says.
#[inline(always)]
pub(crate) fn is_closing(sk: Sock) -> bool {
    // SAFETY: the value is read at once; only this thread inserts and removes its key.
    let closes = unsafe { CLOSERS.get(bpf_get_current_pid_tgid()) }.copied();
    closes == Some(sk.name())
}
