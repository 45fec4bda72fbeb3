//! `inet_sock_set_state(sk, old, new)`: fires just before `sk_state` is stored.

use core::ptr::addr_of_mut;

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::record::{Act, Header, Opened, StateChange, flag, kind};

use crate::{
    again::{Hook, has_run, runs},
    emit::{emit, reserve, submit},
    hooks::destroy,
    maps::{LINGERS, LISTENER_CLOSERS, note},
    sock::{
        Marks, Sock, now,
        state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT},
    },
    task,
};

/// How long a listener may take to reset what it had queued, about a second; the note of it is of another afterwards.
const LISTEN_STOP: u64 = 1000;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn rt_set_state(ctx: RawTracePointContext) -> i32 {
    runs(Hook::SetState, key(&ctx));
    on_set_state(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn rt_set_state2(ctx: RawTracePointContext) -> i32 {
    if !has_run(Hook::SetState, key(&ctx)) {
        on_set_state(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    }
    0
}

/// The socket and the change: the upper bits of a kernel address are all the same, so the states find room there.
#[inline(always)]
fn key(ctx: &RawTracePointContext) -> u64 {
    ctx.arg::<u64>(0) ^ (ctx.arg::<u64>(1) << 52) ^ (ctx.arg::<u64>(2) << 48)
}

#[inline(always)]
fn on_set_state(address: u64, old: u32, new: u32) {
    let sk = Sock::new(address);
    match (old, new) {
        // connect(): the caller holds the socket.
        (_, SYN_SENT) if sk.is_tcp() => opened(sk, Opening::Us),
        // The handshake of a connection to a listener is complete; `current` is whoever the packet interrupted. A socket
        // that has a file here was reported before: by connect() (RFC 9293, simultaneous open), or by Fast Open's SYN.
        (SYN_RECV, ESTABLISHED) if sk.is_tcp() && !sk.has_socket() => opened(sk, Opening::Peer),
        // A Fast Open child can be accepted, used and closed before its handshake is complete.
        (LISTEN, SYN_RECV) if sk.is_tcp() && sk.may_take_fastopen() => opened(sk, Opening::PeerEarly),
        // close() of a listener goes on to reset what it had not accepted.
        (LISTEN, CLOSE) => note(&LISTENER_CLOSERS, bpf_get_current_pid_tgid(), listener(sk)),
        // Not an end: the rest of a handshake, and a listener's own life.
        (SYN_SENT, ESTABLISHED)
        | (LISTEN, _)
        | (_, LISTEN | SYN_RECV | SYN_SENT | ESTABLISHED)
        | (CLOSE, CLOSE) => {}
        // Our FIN is acknowledged. An orphan goes on to CLOSE at once and says it there.
        (FIN_WAIT1, FIN_WAIT2) if sk.kernel_flags() & flag::DEAD != 0 => {}
        _ => changed(sk, old, new),
    }
}

#[inline(always)]
fn changed(sk: Sock, old: u32, new: u32) {
    if !sk.is_tcp() {
        return;
    }
    let ns = now();
    let marks = sk.marks(true);
    let (dead, closing) = (marks.flags & flag::DEAD != 0, marks.flags & flag::CLOSING != 0);
    let is_act = if marks.flags & flag::OWNED != 0 {
        is_act_of_ours(old, new, dead)
    } else {
        new == CLOSE && !dead && marks.flags & flag::HAS_SOCKET == 0 && closes_listener(sk)
    };
    if closing && marks.flags & flag::LINGER != 0 && new != CLOSE {
        note(&LINGERS, bpf_get_current_pid_tgid(), sk.name());
    }
    if new == CLOSE && (dead || closing) {
        destroy::told(sk, ns);
    }
    // A packet's record is shorter by what says who called.
    if is_act {
        let Some(mut place) = reserve::<Act>() else { return };
        let record = place.as_mut_ptr();
        // SAFETY: the place is an Act's, and all of it is written.
        unsafe {
            write(sk.header_at(ns, kind::ACT, true), sk, marks, [old, new], addr_of_mut!((*record).change));
            addr_of_mut!((*record).task).write(task::current());
        }
        submit(place);
    } else {
        let Some(mut place) = reserve::<StateChange>() else { return };
        // SAFETY: the place is a StateChange's.
        unsafe {
            write(sk.header_at(ns, kind::STATE_CHANGE, false), sk, marks, [old, new], place.as_mut_ptr());
        };
        submit(place);
    }
}

/// # Safety
/// `to` must be valid for a write.
#[inline(always)]
unsafe fn write(header: Header, sk: Sock, marks: Marks, [old, new]: [u32; 2], to: *mut StateChange) {
    // SAFETY: the caller's promise; every field is written.
    unsafe {
        addr_of_mut!((*to).header).write(header);
        sk.write(marks, addr_of_mut!((*to).socket));
        addr_of_mut!((*to).old).write(old);
        addr_of_mut!((*to).new).write(new);
        if matches!(old, SYN_SENT | SYN_RECV) {
            sk.write_handshake(addr_of_mut!((*to).socket));
        }
        if matches!(new, FIN_WAIT1 | LAST_ACK) && sk.fin_leaves() {
            (*to).socket.flags |= flag::FIN_LEAVES;
        }
    }
}

/// Whether a call of the process that holds the socket makes this change, rather than a segment in its backlog.
///
/// Our FIN, `close()` after `shutdown()` (no change at all), and an abort before the socket is orphaned. Data or a
/// reset that wait in the backlog can end a socket too while a call holds it: then the holder is at least who has it.
#[inline(always)]
fn is_act_of_ours(old: u32, new: u32, dead: bool) -> bool {
    match (old, new) {
        (_, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK) => true,
        (_, CLOSE) => !dead,
        _ => old == new,
    }
}

/// `inet_csk_listen_stop` resets the children that nobody accepted in the process that closes their listener; a
/// child that ends by itself does so for a packet, and then whoever runs has nothing to do with it.
#[inline(always)]
fn closes_listener(child: Sock) -> bool {
    // tcp_reset() and tcp_write_err() say why before, tcp_disconnect() after.
    if child.err() != 0 {
        return false;
    }
    // SAFETY: the value is read at once; only this thread inserts its key.
    let closed = unsafe { LISTENER_CLOSERS.get(bpf_get_current_pid_tgid()) }.copied();
    let Some(closed) = closed else { return false };
    let its = listener(child);
    closed as u32 == its as u32 && (its >> 32).wrapping_sub(closed >> 32) <= LISTEN_STOP
}

/// Where a listener and its children are, port and namespace as far as they fit, and the time, in units of 2^20 ns.
#[inline(always)]
fn listener(sk: Sock) -> u64 {
    let place = u32::from(sk.local_port()) << 16 | (sk.netns() & 0xffff);
    (now() >> 20) << 32 | u64::from(place)
}

/// How a connection begins.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    /// `connect()`, which holds the socket: the running process is the opener.
    Us,
    /// The peer connected, and the handshake is complete.
    Peer,
    /// The peer's SYN came with Fast Open.
    PeerEarly,
}

#[inline(always)]
fn opened(sk: Sock, opening: Opening) {
    let by_us = opening == Opening::Us;
    let (inode, (pid, uid, comm)) = if by_us { (sk.inode(), task::opener()) } else { (0, (0, 0, [0; 16])) };
    emit(Opened {
        header: sk.header(kind::OPENED, by_us),
        // inet_sport may be that of an earlier connection: connect() chooses a new one after this.
        endpoints: sk.endpoints(if by_us { sk.num() } else { sk.local_port() }),
        by_us: u16::from(by_us),
        early: u16::from(opening == Opening::PeerEarly),
        inode,
        pid,
        uid,
        comm,
    });
}
