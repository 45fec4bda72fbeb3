//! The words of a verdict: closed sets, written once for JSON, labels and sentences.

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
        /// By a reset of ours.
        ResetSent = "reset_sent",
        /// By a reset of the peer's.
        ResetReceived = "reset_received",
        /// The peer stopped answering.
        TimedOut = "timed_out",
        /// It never began: the peer answered the SYN with a reset.
        Refused = "refused",
        /// Torn down here with neither FIN nor RST reaching the peer.
        Aborted = "aborted",
        /// Not decidable.
        Unknown = "unknown",
    }
}

words! {
    /// Why it ended so.
    Cause {
        /// A FIN each way, ours acknowledged.
        Orderly = "orderly",
        /// We closed first, the peer acknowledged our FIN, and the kernel let our socket go before the peer's FIN.
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
        /// The listener closed with the connection still in its queue.
        NeverAccepted = "never_accepted",
        /// `ss -K`, SOCK_DESTROY or bpf_sock_destroy.
        SocketDestroyed = "socket_destroyed",
        /// Too many orphans or no memory.
        OrphanLimit = "orphan_limit",
        /// An orphan in FIN_WAIT2 timed out with a reset.
        FinWait2Timeout = "fin_wait2_timeout",
        /// A segment that does not belong to the connection provoked a reset.
        InvalidSegment = "invalid_segment",
        /// An MPTCP subflow reset.
        Mptcp = "mptcp",
        /// RST while no FIN of the peer had been seen.
        PeerReset = "peer_reset",
        /// We sent data after the peer's FIN, the peer answered RST.
        WriteAfterPeerFin = "write_after_peer_fin",
        /// RST after the peer's FIN without data of ours since.
        ResetAfterPeerFin = "reset_after_peer_fin",
        /// Retransmissions or TCP_USER_TIMEOUT ran out.
        RetransmitTimeout = "retransmit_timeout",
        /// Keepalive probes unanswered.
        KeepaliveTimeout = "keepalive_timeout",
        /// SYN unanswered.
        ConnectTimeout = "connect_timeout",
        /// SYN answered by RST.
        Refused = "refused",
        /// An ICMP error ended the handshake: a firewall that rejects, or no route to the peer.
        IcmpError = "icmp_error",
        /// Closed while connecting.
        ConnectAbandoned = "connect_abandoned",
        /// Closed in TCP_REPAIR mode.
        Repair = "repair",
        /// Its network namespace went away.
        NetnsGone = "netns_gone",
        /// Not decidable.
        Unknown = "unknown",
    }
}

words! {
    /// Who sent the first FIN or RST.
    FirstClose {
        /// We did.
        Local = "local",
        /// The peer did.
        Remote = "remote",
        /// Both FINs crossed.
        Simultaneous = "simultaneous",
        /// Nobody.
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
        /// On with time zero: reset.
        Zero = "zero",
        /// On: close() waits.
        Timed = "timed",
        /// On, but the process exits and does not wait.
        Suppressed = "suppressed",
    }
}

words! {
    /// How the wait of a lingering `close()` ended.
    LingerResult {
        /// Everything was acknowledged.
        Acked = "acked",
        /// The time ran out.
        Expired = "expired",
        /// A signal came.
        Interrupted = "interrupted",
    }
}

words! {
    /// How sure the verdict is.
    Evidence {
        /// Every fact it rests on was seen.
        Exact = "exact",
        /// One fact was derived from others.
        Inferred = "inferred",
    }
}

words! {
    /// Evidence that is missing.
    Missing {
        /// Records were lost while the connection was alive: ring buffer full, table full, read fault, skipped program,
        /// or a chain of states with a gap.
        Records = "records",
        /// The beginning: the connection is older than the observer.
        Opening = "opening",
        /// No process was seen with the socket.
        Process = "process",
        /// The end itself: its record was lost, the socket is another connection's by now.
        End = "end",
        /// The peer's FIN came before the observer did.
        PeerFin = "peer_fin",
        /// The state change that says what preceded the end.
        Transition = "transition",
        /// What our side did that made the kernel send a reset.
        ResetCause = "reset_cause",
        /// The segment or error that ended it.
        Trigger = "trigger",
    }
}

impl Cause {
    /// The outcomes it can lead to: together with [`Self::ALL`], every pair that a verdict can hold.
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
            // Nothing leaves when everything was sent after our FIN.
            Self::LingerZero | Self::Disconnect | Self::SocketDestroyed => {
                &[Outcome::ResetSent, Outcome::Aborted]
            }
            Self::PeerReset | Self::WriteAfterPeerFin | Self::ResetAfterPeerFin => &[Outcome::ResetReceived],
            Self::RetransmitTimeout | Self::KeepaliveTimeout | Self::ConnectTimeout => &[Outcome::TimedOut],
            Self::Refused | Self::IcmpError => &[Outcome::Refused],
            Self::ConnectAbandoned | Self::Repair | Self::NetnsGone => &[Outcome::Aborted],
            // A reset whose reason was not to be found is a reset all the same.
            Self::Unknown => &[Outcome::Unknown, Outcome::ResetSent],
        }
    }
}

/// SO_LINGER and what became of it. None in a verdict when our side never called `close()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linger {
    /// Mode.
    pub mode: LingerMode,
    /// The time asked for, ms; None when off.
    pub configured_ms: Option<u64>,
    /// How long `close()` waited, ns; None when it did not, or it was not seen.
    pub waited_ns: Option<u64>,
    /// None when it did not wait, or the result was not seen.
    pub result: Option<LingerResult>,
}

/// How long one direction was closed and the other open, ns; None where it never was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfClosedTimes {
    /// We had sent our FIN and the peer had not.
    pub local_ns: Option<u64>,
    /// The peer had sent its FIN and we had not.
    pub remote_ns: Option<u64>,
}

/// Bytes at the end; None where the evidence does not say. Neither SYN nor FIN counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Received, and thrown away unread when the socket was closed. 0 while a process can still read them.
    pub unread: Option<u32>,
    /// Sent and never acknowledged.
    pub unacked: Option<u32>,
    /// Written and never sent.
    pub unsent: Option<u32>,
    /// Written after the peer's FIN had arrived. None when that FIN came unseen.
    pub after_peer_fin: Option<u32>,
}

/// Our FIN on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinProgress {
    /// It left this host; None when that is not known. A FIN waits behind unsent data and for the peer's window.
    pub sent: Option<bool>,
    /// It left as soon as it was queued.
    pub at_once: bool,
    /// From the call that queued it to its acknowledgement, ns; None when it was never acknowledged, or when that was
    /// not seen.
    pub acked_ns: Option<u64>,
    /// From that call to the end, ns.
    pub queued_ns: u64,
}

/// The reset that ended the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// Who sent it.
    pub direction: Side,
    /// State of our socket at that moment.
    pub in_state: State,
    /// The kernel's reason, for one of ours, where the kernel gives it.
    pub kernel_reason: Option<Reason>,
}

/// How one connection ended.
///
/// Serialized for the daemon's history, which reads the first fields of many without the rest: see `history::pack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the connection, shared with its write errors.
    pub id: String,
    /// When it ended; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The process that closed it, or else owned it.
    #[serde(with = "packed")]
    pub process: Option<Task>,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// Queues.
    pub bytes: Bytes,
    /// Failed sends until now, by errno.
    pub write_errors: BTreeMap<u32, u32>,
    /// None when the connection is older than the observer.
    pub opened_by: Option<Side>,
    /// Inode of the socket's file, for finding an owner that was not seen; 0 when unknown.
    pub inode: u64,
    /// Who was first.
    pub first_close: FirstClose,
    /// What our side did to end it; None when it did nothing.
    pub local_action: Option<LocalAction>,
    /// False when our side did something, and its record is missing.
    pub action_known: bool,
    /// Our FIN; `local_action` then says by which call. None when our side queued none, or unseen.
    pub fin: Option<FinProgress>,
    /// The call that ended it, where that is another than `local_action`: `close()` after `shutdown()`.
    pub last_action: Option<LocalAction>,
    /// The process that called `connect()`, where another one ended the connection.
    #[serde(with = "packed")]
    pub opener: Option<Task>,
    /// The errno left for the process; 0 for none.
    pub error: u32,
    /// SO_LINGER.
    pub linger: Option<Linger>,
    /// Half-closed times.
    pub half_closed: HalfClosedTimes,
    /// The reset, where one ended it.
    pub reset: Option<Reset>,
    /// From the beginning to the end, ns; None when the beginning was not seen.
    pub duration_ns: Option<u64>,
    /// How sure.
    pub evidence: Evidence,
    /// What was not to be had.
    pub missing: Vec<Missing>,
    /// What happened, in order, as far as it was kept.
    pub steps: Vec<Step>,
    /// For the audit against the kernel's counters; in no output.
    #[serde(skip)]
    pub left: Left,
}

/// What the kernel's counters depend on beside the words of a verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// The state that the socket left for CLOSE; None when that was not seen.
    pub state: Option<State>,
    /// The last reset that we sent answered a segment of the peer's.
    pub answered: bool,
    /// close() ended it.
    pub closed: bool,
    /// A TCP Fast Open child whose handshake was not complete.
    pub fastopen: bool,
}

impl Verdict {
    /// When it began; `CLOCK_MONOTONIC`, ns. None when the beginning was not seen.
    #[must_use]
    pub fn opened_ns(&self) -> Option<u64> {
        Some(self.ns.saturating_sub(self.duration_ns?))
    }
}
