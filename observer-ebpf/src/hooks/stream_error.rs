//! `sk_stream_error(sk, flags, err)`: every failing send of a TCP socket calls it, and no successful one.

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
/// kTLS encrypts asynchronously (`net/tls/tls_sw.c`). Nothing has failed.
const EINPROGRESS: i32 = 115;
/// The first errno that is internal to the kernel and never reaches a process (`include/linux/errno.h`). It marks a
/// call that a signal interrupted and that is to be restarted.
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
    let ret = args.arg_u64(2) as i32;
    if !is_failure(ret) {
        count_full(ret, || Sock::new(args.arg_u64(0)));
        return 0;
    }
    let sk = Sock::new(args.arg_u64(0));
    // The errno that the function will return: `if (err == -EPIPE) err = sock_error(sk) ? : -EPIPE;`
    let pending = if ret == -EPIPE { sk.err().cast_signed() } else { 0 };
    let errno = if pending == 0 { -ret } else { pending };
    let raises_sigpipe = errno == EPIPE && args.arg_u64(1) & MSG_NOSIGNAL == 0;
    on_write_error(sk, errno, || raises_sigpipe && !ignores_sigpipe());
    0
}

/// Whether a send has failed. A full buffer of a non-blocking socket is no failure. It is by far the most frequent
/// refusal.
#[inline(always)]
pub(crate) fn is_failure(ret: i32) -> bool {
    ret < 0 && ret != -EAGAIN && ret != -EINPROGRESS && ret > -ERESTARTSYS
}

/// Counts a send that found the buffer of a TCP socket full, if the setting asks for it. Dead code otherwise.
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
    let Some(mut entry) = reserve::<WriteError>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry is as large as a WriteError, and every byte is written.
    unsafe {
        addr_of_mut!((*record).header).write(sk.header(kind::WRITE_ERROR, true));
        addr_of_mut!((*record).task).write(task::current());
        sk.write(sk.flags_and_inode(false), addr_of_mut!((*record).socket));
        addr_of_mut!((*record).errno).write(errno as u32);
        addr_of_mut!((*record).sigpipe).write(u32::from(sigpipe));
    }
    submit(entry);
}
