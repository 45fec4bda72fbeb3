//! A verdict, and the closed sets of its words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Endpoints, Reason, State, Task, packed},
    story::step::Step,
    words::{LocalAction, Side, words},
};

words! {
    /// How the connection ended.
    Outcome {
        /// By FIN.
        Graceful = "graceful",
        /// By our reset.
        ResetSent = "reset_sent",
        /// By the peer's reset.
        ResetReceived = "reset_received",
        /// The peer stopped answering.
        TimedOut = "timed_out",
        /// It never began: a RST or an ICMP error answered the SYN.
        Refused = "refused",
        /// Our side ended it, and neither a FIN nor a RST reached the peer.
        Aborted = "aborted",
        /// The evidence does not decide it.
        Unknown = "unknown",
    }
}

words! {
    /// Why it ended so.
    Cause {
        /// A FIN each way, ours acknowledged.
        Orderly = "orderly",
        /// We closed first, the peer acknowledged our FIN, and the kernel freed our socket before the peer's FIN.
        ClosedFirst = "closed_first",
        /// `close()` with unread data in the receive queue.
        UnreadData = "unread_data",
        /// `close()`, or exit, with SO_LINGER {on, 0}.
        LingerZero = "linger_zero",
        /// TCP_LINGER2 < 0.
        Linger2Negative = "linger2_negative",
        /// Data arrived after we closed or shut down both ways.
        DataAfterClose = "data_after_close",
        /// `connect(AF_UNSPEC)`.
        Disconnect = "disconnect",
        /// The listener closed with the connection in its accept queue.
        NeverAccepted = "never_accepted",
        /// `ss -K`, SOCK_DESTROY or `bpf_sock_destroy()`.
        SocketDestroyed = "socket_destroyed",
        /// Too many orphans or no memory.
        OrphanLimit = "orphan_limit",
        /// An orphan in FIN_WAIT2 timed out with a reset.
        FinWait2Timeout = "fin_wait2_timeout",
        /// A segment that does not belong to the connection provoked a reset.
        InvalidSegment = "invalid_segment",
        /// An MPTCP subflow reset.
        Mptcp = "mptcp",
        /// The peer sent RST without a FIN before.
        PeerReset = "peer_reset",
        /// We sent data after the peer's FIN, and the peer answered with RST.
        WriteAfterPeerFin = "write_after_peer_fin",
        /// The peer sent RST after its FIN, without data of ours in between.
        ResetAfterPeerFin = "reset_after_peer_fin",
        /// The retransmissions or TCP_USER_TIMEOUT ran out.
        RetransmitTimeout = "retransmit_timeout",
        /// The peer answered no keepalive probe.
        KeepaliveTimeout = "keepalive_timeout",
        /// The peer answered no SYN.
        ConnectTimeout = "connect_timeout",
        /// The SYN was answered by RST.
        Refused = "refused",
        /// An ICMP error ended the handshake: a firewall that rejects, or no route to the peer.
        IcmpError = "icmp_error",
        /// Closed while connecting.
        ConnectAbandoned = "connect_abandoned",
        /// Closed in TCP_REPAIR mode.
        Repair = "repair",
        /// Its network namespace went away.
        NetnsGone = "netns_gone",
        /// The evidence does not decide it.
        Unknown = "unknown",
    }
}

words! {
    /// The side that sent the first FIN or RST.
    FirstClose {
        /// This host.
        Local = "local",
        /// The peer.
        Remote = "remote",
        /// Both: the FINs crossed.
        Simultaneous = "simultaneous",
        /// Neither.
        None = "none",
        /// The evidence does not say.
        Unknown = "unknown",
    }
}

words! {
    /// SO_LINGER at `close()`.
    LingerMode {
        /// Off.
        Off = "off",
        /// On with time 0: close() sends RST.
        Zero = "zero",
        /// On with another time: close() waits.
        Timed = "timed",
        /// On, but an exiting process does not wait.
        Suppressed = "suppressed",
    }
}

words! {
    /// How the wait of a lingering `close()` ended.
    LingerResult {
        /// The peer acknowledged everything.
        Acked = "acked",
        /// The time of SO_LINGER ran out.
        Expired = "expired",
        /// A signal ended the wait.
        Interrupted = "interrupted",
    }
}

words! {
    /// How sure the verdict is.
    Evidence {
        /// Every fact was seen, and the evidence is known to be complete.
        Exact = "exact",
        /// At least one fact was derived from others, or evidence may be missing.
        Inferred = "inferred",
    }
}

words! {
    /// Evidence that is missing.
    Missing {
        /// Records were lost while the connection was alive: ring buffer full, table full, read fault, skipped
        /// program, or a gap in the chain of states.
        Records = "records",
        /// The opening: the connection is older than the observer.
        Opening = "opening",
        /// No process was seen to hold the socket.
        Process = "process",
        /// The end: its record was lost, and another connection uses the socket by now.
        End = "end",
        /// The peer's FIN: it came before the observer started, or its record was lost.
        PeerFin = "peer_fin",
        /// The change of state by which our FIN was queued.
        Transition = "transition",
        /// The act of our side that made the kernel send a reset.
        ResetCause = "reset_cause",
        /// The segment or error that ended the connection.
        Trigger = "trigger",
    }
}

impl Cause {
    /// The outcomes that the cause can have. With [`Self::ALL`] these are all pairs that a verdict can have.
    #[must_use]
    pub const fn outcomes(self) -> &'static [Outcome] {
        match self {
            Self::Orderly | Self::ClosedFirst => &[Outcome::Graceful],
            Self::UnreadData
            | Self::Linger2Negative
            | Self::DataAfterClose
            | Self::NeverAccepted
            | Self::OrphanLimit
            | Self::FinWait2Timeout
            | Self::InvalidSegment
            | Self::Mptcp => &[Outcome::ResetSent],
            // After both FINs no reset is sent.
            Self::LingerZero | Self::Disconnect | Self::SocketDestroyed => {
                &[Outcome::ResetSent, Outcome::Aborted]
            }
            Self::PeerReset | Self::WriteAfterPeerFin | Self::ResetAfterPeerFin => &[Outcome::ResetReceived],
            Self::RetransmitTimeout | Self::KeepaliveTimeout | Self::ConnectTimeout => &[Outcome::TimedOut],
            Self::Refused | Self::IcmpError => &[Outcome::Refused],
            Self::ConnectAbandoned | Self::Repair | Self::NetnsGone => &[Outcome::Aborted],
            // The reason of a reset may be unknown.
            Self::Unknown => &[Outcome::Unknown, Outcome::ResetSent],
        }
    }
}

/// SO_LINGER and its effect. None in a verdict if our side did not call `close()` before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linger {
    /// Whether `close()` waits.
    pub mode: LingerMode,
    /// The time of SO_LINGER, ms; None if it is off.
    pub configured_ms: Option<u64>,
    /// How long `close()` waited, ns. None if it did not wait, or if the end of the wait was not seen.
    pub waited_ns: Option<u64>,
    /// How the wait ended. None if `close()` did not wait, or if the end of the wait was not seen.
    pub result: Option<LingerResult>,
}

/// How long one direction was closed and the other open, ns. None if that never was the case, or if the time is not
/// known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfClosedTimes {
    /// We had sent our FIN and the peer had not.
    pub local_ns: Option<u64>,
    /// The peer had sent its FIN and we had not.
    pub remote_ns: Option<u64>,
}

/// Bytes at the end. None if the evidence does not show them. SYN and FIN do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Bytes received and discarded unread when the socket was closed. 0 while a process can still read them.
    pub unread: Option<u32>,
    /// Bytes sent and never acknowledged.
    pub unacked: Option<u32>,
    /// Bytes written and never sent.
    pub unsent: Option<u32>,
    /// Bytes written after the peer's FIN had arrived. None if that FIN was not seen.
    pub after_peer_fin: Option<u32>,
}

/// The progress of our FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinProgress {
    /// It was sent; None if that is not known. A FIN waits behind unsent data and for the peer's window.
    pub sent: Option<bool>,
    /// It was sent as soon as it was queued.
    pub at_once: bool,
    /// Time from the call that queued it to its acknowledgement, ns. None if it was never acknowledged, or if that
    /// was not seen.
    pub acked_ns: Option<u64>,
    /// Time from that call to the end, ns.
    pub queued_ns: u64,
}

/// The reset that ended the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The side that sent it.
    pub direction: Side,
    /// State of our socket at that time.
    pub in_state: State,
    /// The kernel's reason for our reset (6.10 and later). None for the peer's reset.
    pub kernel_reason: Option<Reason>,
}

/// The fields of a verdict that filters and counts read.
///
/// They come first in a packed verdict, so that the history reads them without the rest. `I` is the text of the id: a
/// `String`, or a `&str` in packed bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<I> {
    /// Id of the connection; its write errors have the same.
    pub id: I,
    /// When the connection ended; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The owner: the process that closed, or else a holder, or the listener. None if it is not known.
    #[serde(with = "packed")]
    pub process: Option<Task>,
    /// How the connection ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub cause: Cause,
    /// The queues at the end.
    pub bytes: Bytes,
    /// Number of failed sends before the verdict, by errno.
    pub write_errors: BTreeMap<u32, u32>,
    /// The side that connected. None if the connection is older than the observer.
    pub opened_by: Option<Side>,
}

/// How one connection ended.
///
/// Serialized for the daemon's history, which reads the first fields of many without the rest: see `history::pack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The fields that filters and counts read.
    pub head: Head<String>,
    /// Inode of the socket's file; 0 if unknown.
    pub inode: u64,
    /// The side that closed first.
    pub first_close: FirstClose,
    /// The first act of our side that had a part in the end. None if there was none, or if it is not known.
    pub local_action: Option<LocalAction>,
    /// False if our side acted and the record of it is missing.
    pub action_known: bool,
    /// Our FIN, queued by the call in `local_action`. None if our side queued none, or if that was not seen.
    pub fin: Option<FinProgress>,
    /// The call that ended the connection if it is not `local_action`: `close()` after `shutdown()`.
    pub last_action: Option<LocalAction>,
    /// The process that called `connect()`, if it is not `process`.
    #[serde(with = "packed")]
    pub opener: Option<Task>,
    /// The errno that the end left for the process; 0 for none.
    pub error: u32,
    /// SO_LINGER.
    pub linger: Option<Linger>,
    /// Half-closed times.
    pub half_closed: HalfClosedTimes,
    /// The reset that ended it; None without one.
    pub reset: Option<Reset>,
    /// Time from the opening to the end, ns. None if the opening was not seen.
    pub duration_ns: Option<u64>,
    /// How sure the verdict is.
    pub evidence: Evidence,
    /// The missing evidence.
    pub missing: Vec<Missing>,
    /// The first steps, in order.
    pub steps: Vec<Step>,
    /// For the audit against the kernel's counters. No output has it, and the history does not store it.
    #[serde(skip)]
    pub left: Left,
}

/// Facts beside the words of a verdict on which the kernel's counters depend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// The state before CLOSE; None if the end was not seen.
    pub state: Option<State>,
    /// Our last reset answered a segment of the peer.
    pub answered: bool,
    /// `close()` ended the connection.
    pub closed: bool,
    /// A TCP Fast Open child whose handshake was not complete.
    pub fastopen: bool,
}

impl Verdict {
    /// When the connection began; `CLOCK_MONOTONIC`, ns. None if the opening was not seen.
    #[must_use]
    pub fn opened_ns(&self) -> Option<u64> {
        Some(self.head.ns.saturating_sub(self.duration_ns?))
    }
}
