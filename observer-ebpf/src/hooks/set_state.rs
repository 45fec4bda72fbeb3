//! `inet_sock_set_state(sk, old, new)`: fires just before `sk_state` is stored.

use core::ptr::addr_of_mut;

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use observer_ebpf::abi::{
    record::{Act, Header, Opened, StateChange, flag, kind},
    tcp_state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT},
};

use crate::{
    emit::{emit, reserve, submit},
    hooks::destroy,
    maps::{CLOSED_LISTENERS, LINGERING_CLOSES, insert_or_count},
    reentrancy::{Hook, mark_handled, take_handled},
    sock::{FlagsAndInode, Sock, now},
    task,
};

/// How long a listener may take to reset its queued connections, in units of 2^20 ns: about a second. An older entry
/// belongs to another listener.
const LISTEN_STOP_LIMIT: u64 = 1000;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn rt_set_state(ctx: RawTracePointContext) -> i32 {
    mark_handled(Hook::SetState, key(&ctx));
    on_set_state(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn rt_set_state2(ctx: RawTracePointContext) -> i32 {
    if !take_handled(Hook::SetState, key(&ctx)) {
        on_set_state(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    }
    0
}

/// Key of the event: the socket and the change. The upper bits of kernel addresses are all equal, so the states fit
/// there.
#[inline(always)]
fn key(ctx: &RawTracePointContext) -> u64 {
    ctx.arg::<u64>(0) ^ (ctx.arg::<u64>(1) << 52) ^ (ctx.arg::<u64>(2) << 48)
}

#[inline(always)]
fn on_set_state(address: u64, old: u32, new: u32) {
    let sk = Sock::new(address);
    match (old, new) {
        // connect(): the calling process holds the socket.
        (_, SYN_SENT) if sk.is_tcp() => opened(sk, Opening::Connect),
        // The handshake of a connection to a listener is complete. `current` is the task that the packet interrupted. A
        // socket that has a file here was reported before: by connect() (RFC 9293, simultaneous open), or by the SYN of
        // Fast Open.
        (SYN_RECV, ESTABLISHED) if sk.is_tcp() && !sk.has_socket() => opened(sk, Opening::Handshake),
        // A Fast Open child can be accepted, used and closed before its handshake is complete.
        (LISTEN, SYN_RECV) if sk.is_tcp() && sk.may_take_fastopen() => opened(sk, Opening::FastOpen),
        // close() of a listener next resets the connections that were not accepted.
        (LISTEN, CLOSE) => insert_or_count(&CLOSED_LISTENERS, bpf_get_current_pid_tgid(), listener_key(sk)),
        // Not the end of a connection: the rest of a handshake, and changes of a listener.
        (SYN_SENT, ESTABLISHED)
        | (LISTEN, _)
        | (_, LISTEN | SYN_RECV | SYN_SENT | ESTABLISHED)
        | (CLOSE, CLOSE) => {}
        // Our FIN is acknowledged. An orphan changes to CLOSE at once, and that record says so.
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
    let details = sk.flags_and_inode(true);
    let (dead, closing) = (details.flags & flag::DEAD != 0, details.flags & flag::CLOSING != 0);
    let is_act = if details.flags & flag::OWNED != 0 {
        is_made_by_call(old, new, dead)
    } else {
        new == CLOSE && !dead && details.flags & flag::HAS_SOCKET == 0 && is_closed_with_listener(sk)
    };
    if closing && details.flags & flag::LINGER != 0 && new != CLOSE {
        insert_or_count(&LINGERING_CLOSES, bpf_get_current_pid_tgid(), sk.id());
    }
    if new == CLOSE && (dead || closing) {
        destroy::remember_reported(sk, ns);
    }
    // The record of a change by a packet has no task, and so it is shorter.
    if is_act {
        let Some(mut entry) = reserve::<Act>() else { return };
        let record = entry.as_mut_ptr();
        // SAFETY: the entry is as large as an Act, and every byte is written.
        unsafe {
            write(sk.header_at(ns, kind::ACT, true), sk, details, [old, new], addr_of_mut!((*record).change));
            addr_of_mut!((*record).task).write(task::current());
        }
        submit(entry);
    } else {
        let Some(mut entry) = reserve::<StateChange>() else { return };
        // SAFETY: the entry is as large as a StateChange.
        unsafe {
            write(sk.header_at(ns, kind::STATE_CHANGE, false), sk, details, [old, new], entry.as_mut_ptr());
        };
        submit(entry);
    }
}

/// Writes every field of the record.
///
/// # Safety
/// `to` must be valid for a write.
#[inline(always)]
unsafe fn write(
    header: Header,
    sk: Sock,
    details: FlagsAndInode,
    [old, new]: [u32; 2],
    to: *mut StateChange,
) {
    // SAFETY: the caller promises a valid `to`, and every field is written.
    unsafe {
        addr_of_mut!((*to).header).write(header);
        sk.write(details, addr_of_mut!((*to).socket));
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

/// Whether this change was made by a system call of the process that holds the socket, and not by a segment in its
/// backlog.
///
/// Such changes are: our FIN, `close()` after `shutdown()` (no change of state at all), and an abort before the socket
/// is orphaned. Data or a reset in the backlog can also end a socket while a call holds it. The record then names the
/// process of that call, which at least holds the socket.
#[inline(always)]
fn is_made_by_call(old: u32, new: u32, dead: bool) -> bool {
    match (old, new) {
        (_, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK) => true,
        (_, CLOSE) => !dead,
        _ => old == new,
    }
}

/// Whether this connection ends because the current thread closes its listener.
///
/// `inet_csk_listen_stop` resets the connections that were not accepted, in the process that closes the listener. A
/// queued connection that ends by itself does so for a packet, and the current task has nothing to do with it.
#[inline(always)]
fn is_closed_with_listener(child: Sock) -> bool {
    // tcp_reset() and tcp_write_err() set sk_err before the change of state, tcp_disconnect() sets it afterwards.
    if child.err() != 0 {
        return false;
    }
    // SAFETY: the value is read at once, and only this thread inserts its key.
    let closed = unsafe { CLOSED_LISTENERS.get(bpf_get_current_pid_tgid()) }.copied();
    let Some(closed) = closed else { return false };
    let own = listener_key(child);
    closed as u32 == own as u32 && (own >> 32).wrapping_sub(closed >> 32) <= LISTEN_STOP_LIMIT
}

/// Local port and network namespace (16 bits each), which a listener shares with its connections, in the lower half.
/// The time, in units of 2^20 ns, in the upper half.
#[inline(always)]
fn listener_key(sk: Sock) -> u64 {
    let port_and_netns = u32::from(sk.local_port()) << 16 | (sk.netns() & 0xffff);
    (now() >> 20) << 32 | u64::from(port_and_netns)
}

/// How a connection begins.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    /// By `connect()`. The call holds the socket, so the current process is the opener.
    Connect,
    /// By a completed handshake of the peer.
    Handshake,
    /// By a SYN of the peer with Fast Open.
    FastOpen,
}

#[inline(always)]
fn opened(sk: Sock, opening: Opening) {
    let by_us = opening == Opening::Connect;
    let (inode, (pid, uid, comm)) = if by_us { (sk.inode(), task::opener()) } else { (0, (0, 0, [0; 16])) };
    emit(Opened {
        header: sk.header(kind::OPENED, by_us),
        // inet_sport may be that of an earlier connection: connect() chooses a new port after this event.
        endpoints: sk.endpoints(if by_us { sk.num() } else { sk.local_port() }),
        by_us: u16::from(by_us),
        early: u16::from(opening == Opening::FastOpen),
        inode,
        pid,
        uid,
        comm,
    });
}
