//! Decodes records. In: the bytes of one record. Out: an [`Event`].
//!
//! Decoding is total: every input gives an event or a [`DecodeError`], and none panics.

use std::{
    mem::size_of,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use observer_ebpf::abi::record::{self, flag, kind};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zerocopy::FromBytes;

use super::{Body, Endpoints, Event, Flags, Reason, SockId, Socket, State, Task, unread};
use crate::words::Side;

/// The running kernel's names for its numbers, and the length of its clock tick.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelNames {
    /// Names of `enum sk_rst_reason` by number; empty before 6.10.
    pub reset_reasons: Vec<Option<Reason>>,
    /// Length of one jiffy, ns.
    pub tick_ns: u64,
}

/// Why the bytes are no record.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The kind is unknown, or the bytes are too short to have one.
    #[error("record of {len} bytes has kind {kind:?}, which this version does not know")]
    UnknownKind {
        /// The first field; None if the bytes are too short.
        kind: Option<u32>,
        /// Length of the record, bytes.
        len: usize,
    },
    /// The length does not fit the kind.
    #[error("record of kind {kind} has {len} bytes instead of {expected}")]
    Length {
        /// Number of the kind.
        kind: u32,
        /// Length of the record, bytes.
        len: usize,
        /// Length of a record of this kind, bytes.
        expected: usize,
    },
    /// A state field has a number that is no TCP state.
    #[error("{0} is no TCP state")]
    State(u32),
    /// A family field has a number that is neither AF_INET nor AF_INET6.
    #[error("{0} is no address family of TCP")]
    Family(u16),
}

/// Reads a record. Fails if the length is not that of its kind.
fn view<T: FromBytes>(kind: u32, bytes: &[u8]) -> Result<T, DecodeError> {
    let wrong = |_| DecodeError::Length { kind, len: bytes.len(), expected: size_of::<T>() };
    T::read_from_bytes(bytes).map_err(wrong)
}

/// Decodes one record.
///
/// # Errors
/// The kind is unknown, the length does not fit the kind, or a field is out of its range.
pub fn decode(bytes: &[u8], names: &KernelNames) -> Result<Event, DecodeError> {
    let number = bytes.first_chunk::<4>().map(|first| u32::from_ne_bytes(*first));
    let unknown = DecodeError::UnknownKind { kind: number, len: bytes.len() };
    let Some(kind) = number else { return Err(unknown) };
    match kind {
        kind::OPENED => {
            let r: record::Opened = view(kind, bytes)?;
            let by = if r.by_us == 1 { Side::Local } else { Side::Remote };
            let task = (r.header.has_task == 1).then(|| Task::opener(&r));
            let endpoints = Some(endpoints(&r.endpoints)?);
            let body = Body::Opened { by, endpoints, inode: r.inode, early: r.early == 1 };
            Ok(Event { task, ..event(&r.header, None, body) })
        }
        kind::STATE_CHANGE => state_change(&view(kind, bytes)?, None, names),
        kind::ACT => {
            let act: record::Act = view(kind, bytes)?;
            state_change(&act.change, Some(&act.task), names)
        }
        kind::RESET_SENT => {
            let r: record::ResetSent = view(kind, bytes)?;
            let body = Body::ResetSent {
                reason: reason(r.reason, names),
                active: r.active == 1,
                state: state(r.state)?,
                flags: flags(r.flags),
            };
            Ok(event(&r.header, None, body))
        }
        kind::RESET_RECEIVED => {
            let r: record::ResetReceived = view(kind, bytes)?;
            Ok(event(&r.header, None, Body::ResetReceived { state: state(r.state)? }))
        }
        kind::DESTROYED => {
            let r: record::Destroyed = view(kind, bytes)?;
            let unread = unread(r.rcv_nxt, r.copied_seq, r.done == 1);
            let body = Body::Destroyed { unread, rcv_nxt: Some(r.rcv_nxt) };
            Ok(event(&r.header, Some(&r.task), body))
        }
        kind::WRITE_ERROR => {
            let r: record::WriteError = view(kind, bytes)?;
            let body = Body::WriteError {
                errno: r.errno,
                sigpipe: r.sigpipe == 1,
                socket: socket(&r.socket, names)?,
            };
            Ok(event(&r.header, Some(&r.task), body))
        }
        kind::STRAY_RESET => {
            let r: record::StrayReset = view(kind, bytes)?;
            let body = Body::StrayReset {
                reason: reason(r.reason, names),
                state: if r.state == 0 { None } else { Some(state(r.state)?) },
                asks: r.asks == 1,
                endpoints: endpoints(&r.endpoints)?,
            };
            Ok(event(&r.header, None, body))
        }
        kind::LINGER_INTERRUPTED => {
            let r: record::LingerInterrupted = view(kind, bytes)?;
            Ok(event(&r.header, None, Body::LingerInterrupted { signal: r.signal, tid: r.tid }))
        }
        kind::FIN_QUEUED => {
            let r: record::FinQueued = view(kind, bytes)?;
            Ok(event(&r.header, None, Body::FinQueued { state: state(r.state)? }))
        }
        kind::LINGER_OVER => {
            let r: record::LingerOver = view(kind, bytes)?;
            Ok(event(&r.header, None, Body::LingerOver { state: state(r.state)? }))
        }
        _ => Err(unknown),
    }
}

fn state_change(
    change: &record::StateChange,
    task: Option<&record::Task>,
    names: &KernelNames,
) -> Result<Event, DecodeError> {
    let (old, new) = (state(change.old)?, state(change.new)?);
    let mut socket = socket(&change.socket, names)?;
    if matches!(new, State::FinWait1 | State::LastAck) {
        socket.flags.fin_leaves = Some(change.socket.flags & flag::FIN_LEAVES != 0);
    }
    let body = Body::StateChange { old, new, socket };
    Ok(event(&change.header, task, body))
}

fn event(header: &record::Header, task: Option<&record::Task>, body: Body) -> Event {
    let task = task.filter(|_| header.has_task == 1).map(Task::from);
    Event { ns: header.ns, sock: SockId(header.sock), task, body }
}

fn state(number: u32) -> Result<State, DecodeError> {
    State::from_kernel(number).ok_or(DecodeError::State(number))
}

fn reason(number: u32, names: &KernelNames) -> Option<Reason> {
    let index = usize::try_from(number).ok()?;
    names.reset_reasons.get(index).cloned().flatten()
}

fn endpoints(ends: &record::Endpoints) -> Result<Endpoints, DecodeError> {
    let address = |bytes: &[u8; 16]| -> Result<IpAddr, DecodeError> {
        match ends.family {
            record::AF_INET => Ok(IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])),
            // An IPv6 socket may carry IPv4 (RFC 4291 section 2.5.5.2). Such a connection counts as IPv4.
            record::AF_INET6 => Ok(Ipv6Addr::from(*bytes).to_canonical()),
            family => Err(DecodeError::Family(family)),
        }
    };
    Ok(Endpoints {
        local: SocketAddr::new(address(&ends.local)?, ends.local_port),
        remote: SocketAddr::new(address(&ends.remote)?, ends.remote_port),
        netns: ends.netns,
    })
}

fn flags(bits: u32) -> Flags {
    let is = |bit: u32| bits & bit != 0;
    Flags {
        dead: is(flag::DEAD),
        done: is(flag::DONE),
        keepalive: is(flag::KEEPALIVE),
        owned: is(flag::OWNED),
        closing: is(flag::CLOSING),
        mptcp: is(flag::MPTCP),
        linger2_negative: is(flag::LINGER2_NEGATIVE),
        has_socket: is(flag::HAS_SOCKET),
        soft_error: is(flag::SOFT_ERROR),
        segment_seen: is(flag::SEGMENT_SEEN),
        fin_leaves: None,
        retries_out: is(flag::RETRIES_OUT),
        error_queued: is(flag::ERROR_QUEUED),
        fastopen: is(flag::FASTOPEN),
        shutdown_call: is(flag::SHUTDOWN_CALL),
        shutdown_how: (bits >> flag::SHUTDOWN_HOW_SHIFT & flag::SHUTDOWN_HOW_MASK) as u8,
    }
}

fn linger_ms(bits: u32, jiffies: u32, names: &KernelNames) -> Option<u64> {
    (bits & flag::LINGER != 0).then(|| u64::from(jiffies).saturating_mul(names.tick_ns) / 1_000_000)
}

fn socket(s: &record::Socket, names: &KernelNames) -> Result<Socket, DecodeError> {
    Ok(Socket {
        endpoints: endpoints(&s.endpoints)?,
        state: state(s.state.into())?,
        inode: s.inode,
        rcv_shutdown: s.shutdown & 1 != 0,
        send_shutdown: s.shutdown & 2 != 0,
        flags: flags(s.flags),
        linger_ms: linger_ms(s.flags, s.lingertime, names),
        err: s.err.into(),
        rcv_nxt: s.rcv_nxt,
        copied_seq: s.copied_seq,
        write_seq: s.write_seq,
        snd_nxt: s.snd_nxt,
        snd_una: s.snd_una,
        data_segs_in: Some(s.data_segs_in),
    })
}

#[cfg(test)]
mod tests;
