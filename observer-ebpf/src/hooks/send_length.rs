//! `sock_send_length(sk, ret, flags)`: every send on every socket (6.3 and later).
//!
//! The one hook on the data path, for kernels that offer neither fentry nor kprobe: success returns first.

use core::ptr::addr_of_mut;

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{WriteError, kind};

use crate::{emit::emit_if, hooks::signal::took_sigpipe, sock::Sock, task};

const EAGAIN: i32 = 11;
const EPIPE: i32 = 32;

#[raw_tracepoint(tracepoint = "sock_send_length")]
pub(crate) fn rt_send_length(ctx: RawTracePointContext) -> i32 {
    let ret: i32 = ctx.arg(1);
    // A full buffer of a non-blocking socket is not an error, and by far the most frequent refusal.
    if ret < 0 && ret != -EAGAIN {
        on_write_error(Sock::new(ctx.arg(0)), -ret);
    }
    0
}

#[inline(always)]
fn on_write_error(sk: Sock, errno: i32) {
    if !sk.is_internet() {
        return;
    }
    let sigpipe = errno == EPIPE && took_sigpipe();
    emit_if(|record: *mut WriteError| {
        // SAFETY: the place is a WriteError's; `view` writes the socket, the rest is written here.
        unsafe {
            if sk.view(false, addr_of_mut!((*record).socket)).is_none() {
                return false;
            }
            addr_of_mut!((*record).header).write(sk.header(kind::WRITE_ERROR, true));
            addr_of_mut!((*record).task).write(task::current());
            addr_of_mut!((*record).errno).write(errno as u32);
            addr_of_mut!((*record).sigpipe).write(u32::from(sigpipe));
        }
        true
    });
}
