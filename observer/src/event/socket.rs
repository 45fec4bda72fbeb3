//! A TCP socket at the time of a record.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use observer_ebpf::abi::tcp_state;
use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// States of a TCP socket (RFC 9293 section 3.3.2), with the kernel's names without their `TCP_` prefix.
    State {
        /// The connection is open.
        Established = "ESTABLISHED",
        /// `connect()` has sent a SYN.
        SynSent = "SYN_SENT",
        /// The peer's SYN came and was answered.
        SynRecv = "SYN_RECV",
        /// Our FIN is queued or sent, and the peer has not acknowledged it.
        FinWait1 = "FIN_WAIT1",
        /// The peer has acknowledged our FIN and has not sent its own.
        FinWait2 = "FIN_WAIT2",
        /// Both sides have closed, and the kernel waits for late segments.
        TimeWait = "TIME_WAIT",
        /// No connection.
        Close = "CLOSE",
        /// The peer has sent its FIN, and we have not closed.
        CloseWait = "CLOSE_WAIT",
        /// We closed after the peer, and it has not acknowledged our FIN.
        LastAck = "LAST_ACK",
        /// The socket waits for connections.
        Listen = "LISTEN",
        /// Both sides have sent a FIN, and the peer has not acknowledged ours.
        Closing = "CLOSING",
        /// A connection request of a listener, which is not yet a full socket.
        NewSynRecv = "NEW_SYN_RECV",
    }
}

impl State {
    /// The state with the kernel's number ([`tcp_state`]). None for a number that is no state.
    #[must_use]
    pub const fn from_kernel(number: u32) -> Option<Self> {
        Some(match number {
            tcp_state::ESTABLISHED => Self::Established,
            tcp_state::SYN_SENT => Self::SynSent,
            tcp_state::SYN_RECV => Self::SynRecv,
            tcp_state::FIN_WAIT1 => Self::FinWait1,
            tcp_state::FIN_WAIT2 => Self::FinWait2,
            tcp_state::TIME_WAIT => Self::TimeWait,
            tcp_state::CLOSE => Self::Close,
            tcp_state::CLOSE_WAIT => Self::CloseWait,
            tcp_state::LAST_ACK => Self::LastAck,
            tcp_state::LISTEN => Self::Listen,
            tcp_state::CLOSING => Self::Closing,
            tcp_state::NEW_SYN_RECV => Self::NewSynRecv,
            _ => return None,
        })
    }

    /// Whether our FIN is queued or sent, and not yet acknowledged.
    #[must_use]
    pub const fn fin_outstanding(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

words! {
    /// Address family on the wire.
    Family {
        /// IPv4, also when an IPv6 socket carries it as a mapped address.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoints {
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Inode number of the network namespace; 0 if it could not be read.
    pub netns: u32,
}

impl Endpoints {
    /// Placeholder for a connection whose record with both ends was lost: only a reset was seen.
    pub const UNKNOWN: Self = Self {
        local: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
        remote: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
        netns: 0,
    };

    /// Address family on the wire.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.remote.ip() {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// Flags of a socket, from the kernel's and from what its state implies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the kernel's")]
pub struct Flags {
    /// `SOCK_DEAD`: the socket is an orphan, and no process holds it any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dead: bool,
    /// `SOCK_DONE`: the peer's FIN was received.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// SO_KEEPALIVE is on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keepalive: bool,
    /// A system call, or the work on its backlog, holds the socket lock (`sk_lock.owned`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// `close()` runs: the last reference to the file is gone. Only read while a system call holds the socket lock.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// A subflow of an MPTCP connection. Only read when a reset is sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mptcp: bool,
    /// TCP_LINGER2 is below zero: the kernel does not wait for the peer's FIN after `close()`. Only read when a reset
    /// is sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub linger2_negative: bool,
    /// The socket belongs to a file: not orphaned, and accepted if it came from a listener.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_socket: bool,
    /// An ICMP error came while a system call held the socket lock (`sk_err_soft`). This flag and the following ones
    /// are only read when a connection ends, or queues its FIN, during its handshake.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub soft_error: bool,
    /// The peer has sent at least one segment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub segment_seen: bool,
    /// A FIN that is queued now leaves at once: no data waits before it, and the peer's window has room. Only read
    /// when our side queues a FIN. None in recordings of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fin_leaves: Option<bool>,
    /// A timer may have given up: enough SYNs were retransmitted, or TCP_USER_TIMEOUT is set.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retries_out: bool,
    /// An ICMP error waits in the error queue, and `err` is its errno.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub error_queued: bool,
    /// A TCP Fast Open child whose handshake is not complete.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fastopen: bool,
    /// `shutdown()` runs, which ends a connection in SYN_SENT.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shutdown_call: bool,
    /// The argument of that `shutdown()` plus one: 1 SHUT_RD, 2 SHUT_WR, 3 SHUT_RDWR. 0 if unknown.
    #[serde(skip_serializing_if = "super::is_default")]
    pub shutdown_how: u8,
}

/// Bytes received that the application has not read.
///
/// The peer's FIN takes one sequence number (RFC 9293 section 3.4), which the application reads as end of file.
/// `SOCK_DONE` (`done`) says that the FIN was received.
#[must_use]
pub const fn unread(rcv_nxt: u32, copied_seq: u32, done: bool) -> u32 {
    let queued = rcv_nxt.wrapping_sub(copied_seq);
    if done && queued > 0 { queued - 1 } else { queued }
}

/// A socket as one record shows it. Sequence numbers wrap at 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Both ends.
    #[serde(flatten)]
    pub endpoints: Endpoints,
    /// State as stored at that time. At a state change this is still the old one.
    pub state: State,
    /// Inode of the socket's file; 0 for an orphan, and before accept().
    pub inode: u64,
    /// `sk_shutdown`: receiving is shut down (by us, or by the peer's FIN).
    pub rcv_shutdown: bool,
    /// `sk_shutdown`: sending is shut down.
    pub send_shutdown: bool,
    /// Its flags.
    pub flags: Flags,
    /// Time of SO_LINGER, ms; None if it is off.
    pub linger_ms: Option<u64>,
    /// `sk_err`: a positive errno, or 0.
    pub err: u32,
    /// Next sequence number expected from the peer (RCV.NXT).
    pub rcv_nxt: u32,
    /// First sequence number that the application has not read.
    pub copied_seq: u32,
    /// Sequence number after the last byte that the application wrote; after our FIN once it is queued.
    pub write_seq: u32,
    /// Next sequence number to send (SND.NXT).
    pub snd_nxt: u32,
    /// First sequence number that the peer has not acknowledged (SND.UNA).
    pub snd_una: u32,
    /// Number of segments with data received so far, repeated ones included; wraps at 2³². None in recordings of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_segs_in: Option<u32>,
}

impl Socket {
    /// Bytes received that the application has not read.
    #[must_use]
    pub const fn unread(&self) -> u32 {
        unread(self.rcv_nxt, self.copied_seq, self.flags.done)
    }

    /// Bytes that were sent and not acknowledged. SYN and FIN do not count.
    #[must_use]
    pub const fn unacked(&self) -> u32 {
        let in_flight = self.snd_nxt.wrapping_sub(self.snd_una);
        let all_sent = self.snd_nxt == self.write_seq;
        in_flight.saturating_sub(self.control_outstanding(all_sent))
    }

    /// Whether the peer has acknowledged everything written, including our FIN if it is queued.
    #[must_use]
    pub const fn all_acked(&self) -> bool {
        self.snd_una == self.write_seq
    }

    /// Bytes that were written and never sent. A FIN does not count.
    #[must_use]
    pub const fn unsent(&self) -> u32 {
        let queued = self.write_seq.wrapping_sub(self.snd_nxt);
        queued.saturating_sub(self.control_outstanding(queued > 0))
    }

    /// Number of sequence numbers that a SYN or FIN takes among the outstanding ones: 0 or 1. A FIN is always the last.
    ///
    /// In SYN_RECV the SYN is outstanding after a simultaneous open. For a TCP Fast Open child it is not
    /// (`tcp_create_openreq_child()`).
    const fn control_outstanding(&self, includes_last: bool) -> u32 {
        let syn = match self.state {
            State::SynSent => true,
            State::SynRecv => !self.flags.fastopen,
            _ => false,
        };
        ((self.state.fin_outstanding() || syn) && includes_last) as u32
    }

    /// Whether our SYN was sent: `tcp_connect()` sets `snd_nxt` to `write_seq`, which is one beyond `snd_una`. A
    /// connect() that found no free port, or that waits for its first data (TCP_FASTOPEN_CONNECT), has not sent it.
    #[must_use]
    pub const fn syn_sent(&self) -> bool {
        self.snd_nxt == self.write_seq && self.snd_nxt != self.snd_una
    }

    /// Whether everything written has been sent at least once, including our FIN if it is queued.
    #[must_use]
    pub const fn all_sent(&self) -> bool {
        self.snd_nxt == self.write_seq
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An established connection with nothing queued either way.
    pub(crate) fn socket() -> Socket {
        Socket {
            endpoints: Endpoints {
                local: ([127, 0, 0, 1], 1000).into(),
                remote: ([127, 0, 0, 1], 2000).into(),
                netns: 7,
            },
            state: State::Established,
            inode: 42,
            rcv_shutdown: false,
            send_shutdown: false,
            flags: Flags { has_socket: true, ..Flags::default() },
            linger_ms: None,
            err: 0,
            rcv_nxt: 500,
            copied_seq: 500,
            write_seq: 900,
            snd_nxt: 900,
            snd_una: 900,
            data_segs_in: Some(0),
        }
    }

    #[test]
    fn neither_syn_nor_fin_counts_as_data() {
        let idle = socket();
        assert_eq!((idle.unread(), idle.unacked(), idle.unsent()), (0, 0, 0));
        let syn = Socket { state: State::SynSent, snd_una: 899, ..idle };
        assert_eq!((syn.unacked(), syn.unsent()), (0, 0));
        let fin_sent = Socket { state: State::FinWait1, snd_una: 894, ..idle };
        assert_eq!((fin_sent.unacked(), fin_sent.unsent()), (5, 0));
        let fin_waits = Socket { state: State::LastAck, snd_una: 880, snd_nxt: 890, ..idle };
        assert_eq!((fin_waits.unacked(), fin_waits.unsent()), (10, 9));
        // A FIN behind ten unread bytes; then everything is read, the end of file included.
        assert_eq!(unread(500, 489, true), 10);
        assert_eq!(unread(500, 500, true), 0);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let wrapped = Socket { snd_una: u32::MAX - 1, snd_nxt: 3, write_seq: 10, ..socket() };
        assert_eq!((wrapped.unacked(), wrapped.unsent()), (5, 7));
    }

    #[test]
    fn every_number_of_the_kernel_is_one_state() {
        let states: Vec<_> = (0..=13).map(State::from_kernel).collect();
        let all = State::ALL.iter().copied().map(Some);
        assert_eq!(states, [None].into_iter().chain(all).chain([None]).collect::<Vec<_>>());
        assert_eq!(serde_json::to_value(State::FinWait1).unwrap(), "FIN_WAIT1");
    }
}
