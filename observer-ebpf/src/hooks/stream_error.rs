//! `sk_stream_error(sk, flags, err)`: every failing send of a TCP socket comes through it, and no successful one.

use core::ptr::addr_of_mut;

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use observer_ebpf::abi::{
    counter,
    record::{WriteError, kind},
};

use crate::{
    args::Args,
    emit::{reserve, submit},
    hooks::signal::ignores_sigpipe,
    maps::count,
    settings::{COUNT_FULL, get},
    sock::Sock,
    splice::returns_error,
    task,
};

const EAGAIN: i32 = 11;
pub(crate) const EPIPE: i32 = 32;
/// kTLS asks on (`net/tls/tls_sw.c`); nothing has failed.
const EINPROGRESS: i32 = 115;
/// From here on the numbers are the kernel's own and never reach a process (`include/linux/errno.h`): such as a call
/// that a signal interrupted, to be restarted.
const ERESTARTSYS: i32 = 512;

/// `MSG_NOSIGNAL` (`include/linux/socket.h`).
const MSG_NOSIGNAL: u64 = 0x4000;

#[fentry(function = "sk_stream_error")]
pub(crate) fn fe_stream_error(ctx: FEntryContext) -> i32 {
    on_stream_error(&ctx)
}

#[kprobe(function = "sk_stream_error")]
pub(crate) fn kp_stream_error(ctx: ProbeContext) -> u32 {
    on_stream_error(&ctx) as u32
}

#[inline(always)]
fn on_stream_error(args: &impl Args) -> i32 {
    let ret = args.number(2) as i32;
    if !is_failure(ret) {
        count_full(ret, || Sock::new(args.number(0)));
        return 0;
    }
    let sk = Sock::new(args.number(0));
    // What it will return: `if (err == -EPIPE) err = sock_error(sk) ? : -EPIPE;`
    let pending = if ret == -EPIPE { sk.err().cast_signed() } else { 0 };
    let errno = if pending == 0 { -ret } else { pending };
    let raises_sigpipe = errno == EPIPE && args.number(1) & MSG_NOSIGNAL == 0;
    on_write_error(sk, errno, || raises_sigpipe && !ignores_sigpipe());
    0
}

/// A full buffer of a non-blocking socket is not an error, and by far the most frequent refusal.
#[inline(always)]
pub(crate) fn is_failure(ret: i32) -> bool {
    ret < 0 && ret != -EAGAIN && ret != -EINPROGRESS && ret > -ERESTARTSYS
}

/// Counts a send that found the buffer of a TCP socket full, where that is asked for; dead code where it is not.
#[inline(always)]
pub(crate) fn count_full(ret: i32, sk: impl FnOnce() -> Sock) {
    if get(COUNT_FULL) != 0 && ret == -EAGAIN {
        let sk = sk();
        if sk.is_internet() && sk.is_tcp() {
            count(counter::SEND_BUFFER_FULL);
        }
    }
}

#[inline(always)]
pub(crate) fn on_write_error(sk: Sock, errno: i32, sigpipe: impl FnOnce() -> bool) {
    if !sk.is_tcp() || !returns_error(sk) {
        return;
    }
    let sigpipe = sigpipe();
    let Some(mut place) = reserve::<WriteError>() else { return };
    let record = place.as_mut_ptr();
    // SAFETY: the place is a WriteError's, and all of it is written.
    unsafe {
        addr_of_mut!((*record).header).write(sk.header(kind::WRITE_ERROR, true));
        addr_of_mut!((*record).task).write(task::current());
        sk.write(sk.marks(false), addr_of_mut!((*record).socket));
        addr_of_mut!((*record).errno).write(errno as u32);
        addr_of_mut!((*record).sigpipe).write(u32::from(sigpipe));
    }
    submit(place);
}
