//! What the kernel said, in words: bytes have become types, numbers have become names.
//!
//! Comes in: one record (see [`decode`]) or one line of a recording. Goes out: [`Event`]. No clock, no I/O.

#![deny(clippy::disallowed_methods, clippy::disallowed_macros, reason = "pure: no clock, no I/O")]

pub mod decode;
mod socket;
mod task;

#[cfg(test)]
pub(crate) use self::socket::tests::socket as socket_for_tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    socket::{Endpoints, Family, Flags, Socket, State, unread},
    task::{Comm, Task, packed},
};
use crate::words::Side;

/// A socket, as the kernel side names it: unique while the socket lives, reused afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SockId(pub u64);

/// `enum sk_rst_reason` by name, without its `SK_RST_REASON_` prefix; such as `TCP_ABORT_ON_CLOSE`.
pub type Reason = Arc<str>;

/// One record of the kernel side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The socket; 0 in [`Body::StrayReset`].
    pub sock: SockId,
    /// The process whose system call brought it about. None for what a packet or a timer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened to a socket. Variants are the kernel side's record kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    /// A connection begins.
    Opened {
        /// Who connected.
        by: Side,
        /// Both ends. Port 0 where the kernel has not chosen it yet. None in recordings of 0.1.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoints: Option<Endpoints>,
        /// Inode of the socket's file; 0 where the peer connected.
        #[serde(default, skip_serializing_if = "is_default")]
        inode: u64,
        /// The handshake goes on: the SYN came with TCP Fast Open.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        early: bool,
    },
    /// `inet_sock_set_state`.
    StateChange {
        /// State before.
        old: State,
        /// State after.
        new: State,
        /// Just before the new state is stored.
        socket: Socket,
    },
    /// `tcp_send_reset` on a socket that is or was a connection. The change to CLOSE is next to it in time.
    ResetSent {
        /// None where the kernel gives none (before 6.10).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// Our side decided; false when a segment provoked the reset.
        active: bool,
        /// State then: CLOSE already where a process aborts.
        state: State,
        /// The socket's flags then.
        flags: Flags,
    },
    /// `tcp_receive_reset`. The change to CLOSE follows.
    ResetReceived {
        /// State in which it came.
        state: State,
    },
    /// `tcp_destroy_sock` in the process that closed an ended connection, or a socket that never had one; without a
    /// process, of a connection that ended before it was accepted.
    Destroyed {
        /// Bytes received that nobody had read.
        unread: u32,
        /// Next sequence number expected from the peer, which tells this socket from a later one in the same place; None
        /// in recordings of 0.1.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rcv_nxt: Option<u32>,
    },
    /// A failing send.
    WriteError {
        /// Positive errno.
        errno: u32,
        /// SIGPIPE was generated.
        sigpipe: bool,
        /// After the failure.
        socket: Socket,
    },
    /// A signal was delivered to the thread that lingers in `close()`, or did.
    LingerInterrupted {
        /// Signal number.
        signal: u32,
        /// The thread.
        #[serde(default)]
        tid: u32,
    },
    /// `tcp_send_fin`: our FIN is queued.
    FinQueued {
        /// State then: the new one.
        state: State,
    },
    /// Return of `sk_stream_wait_close`: the wait of a lingering `close()` is over.
    LingerOver {
        /// State then.
        state: State,
    },
    /// Not the kernel side's: the process that user space found to have the socket, when nobody had shown himself.
    Owner,
    /// Nor this: no process was found to have the socket. It has been closed meanwhile, or nobody who has it can be seen.
    NoOwner {
        /// Time of the look, which may be later than that of the events read so far.
        looked_ns: u64,
    },
    /// Not the kernel side's: user space noticed that records were lost. What was alive then may have lost some.
    RecordsLost {
        /// Nothing was lost before; `CLOCK_MONOTONIC`, ns.
        since_ns: u64,
        /// Whatever was lost is older than this.
        until_ns: u64,
        /// How many, as far as they can be counted.
        count: u64,
    },
    /// A reset for no live connection.
    StrayReset {
        /// None where the kernel gives none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// State of the socket that was found. None when there was no socket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        /// The segment that found a listener asked for a connection.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asks: bool,
        /// Who was reset.
        endpoints: Endpoints,
    },
}

/// For fields that a recording leaves out where they say nothing.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Body {
    /// Name of the record kind, as in recordings and in `observer_records_total{record}`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::StateChange { .. } => "state_change",
            Self::ResetSent { .. } => "reset_sent",
            Self::ResetReceived { .. } => "reset_received",
            Self::Destroyed { .. } => "destroyed",
            Self::WriteError { .. } => "write_error",
            Self::StrayReset { .. } => "stray_reset",
            Self::LingerInterrupted { .. } => "linger_interrupted",
            Self::FinQueued { .. } => "fin_queued",
            Self::LingerOver { .. } => "linger_over",
            Self::Owner => "owner",
            Self::NoOwner { .. } => "no_owner",
            Self::RecordsLost { .. } => "records_lost",
        }
    }

    /// Every name of [`Self::name`] that is a record of the kernel side.
    pub const NAMES: [&'static str; 10] = [
        "opened",
        "state_change",
        "reset_sent",
        "reset_received",
        "destroyed",
        "write_error",
        "stray_reset",
        "linger_interrupted",
        "fin_queued",
        "linger_over",
    ];
}
