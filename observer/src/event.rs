//! Records with types: bytes have become structs, numbers have become names.
//!
//! In: one record (see [`decode`]) or one line of a recording. Out: [`Event`]. No clock, no I/O.

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

/// The name of a socket: its kernel address XOR a number drawn at load. It is unique while the socket lives, and the
/// kernel reuses the address afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SockId(pub u64);

/// A value of `enum sk_rst_reason` (6.10 and later) by name, without its `SK_RST_REASON_` prefix:
/// `TCP_ABORT_ON_CLOSE`.
pub type Reason = Arc<str>;

/// One record of the kernel side, or what user space adds to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The socket; 0 in [`Body::StrayReset`].
    pub sock: SockId,
    /// The process whose system call caused the event. None if a packet or a timer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The event itself.
    #[serde(flatten)]
    pub body: Body,
}

/// An event of a socket. Most variants are kinds of records of the kernel side; the docs name the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    /// A connection begins: `connect()` is called, or a handshake completes.
    Opened {
        /// The side that connected.
        by: Side,
        /// Both ends. Port 0 if the kernel has not chosen it yet. None in recordings of 0.1.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoints: Option<Endpoints>,
        /// Inode of the socket's file; 0 if the peer connected.
        #[serde(default, skip_serializing_if = "is_default")]
        inode: u64,
        /// The handshake is not complete: the SYN came with TCP Fast Open (RFC 7413).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        early: bool,
    },
    /// `inet_sock_set_state`.
    StateChange {
        /// State before.
        old: State,
        /// State after.
        new: State,
        /// The socket just before the new state is stored.
        socket: Socket,
    },
    /// `tcp_send_reset` on a socket that is or was a connection. The change to CLOSE is next to it in time.
    ResetSent {
        /// None if the kernel gives no reason (before 6.10).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// Our side decided; false if a segment provoked the reset.
        active: bool,
        /// State at that time: already CLOSE if a process aborts.
        state: State,
        /// The socket's flags at that time.
        flags: Flags,
    },
    /// `tcp_receive_reset`. The change to CLOSE follows.
    ResetReceived {
        /// State in which the reset came.
        state: State,
    },
    /// `tcp_destroy_sock`. With a process: it closed the socket of an ended connection, or one that was never
    /// connected. Without a process: the connection ended before it was accepted.
    Destroyed {
        /// Bytes received that no process had read.
        unread: u32,
        /// Next sequence number expected from the peer. It tells this socket from a later one at the same address. None
        /// in recordings of 0.1.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rcv_nxt: Option<u32>,
    },
    /// A send failed.
    WriteError {
        /// Positive errno.
        errno: u32,
        /// The kernel generated SIGPIPE.
        sigpipe: bool,
        /// The socket after the failure.
        socket: Socket,
    },
    /// A signal was delivered to a thread that lingers in `close()`, or that did before.
    LingerInterrupted {
        /// Signal number.
        signal: u32,
        /// Thread id.
        #[serde(default)]
        tid: u32,
    },
    /// `tcp_send_fin`: our FIN is queued.
    FinQueued {
        /// State at that time: already the new one.
        state: State,
    },
    /// Return of `sk_stream_wait_close`: a lingering `close()` has stopped waiting.
    LingerOver {
        /// State at that time.
        state: State,
    },
    /// From user space: the process that a scan of /proc found for the socket, when no record had named one.
    Owner,
    /// From user space: a scan of /proc found no process for the socket. It was closed meanwhile, or its holder
    /// cannot be seen.
    NoOwner {
        /// Time of the scan; `CLOCK_MONOTONIC`, ns. It may be later than that of the events read so far.
        #[serde(rename = "looked_ns")]
        scanned_ns: u64,
    },
    /// From user space, the mark: records were lost. A connection that was open then may lack some.
    RecordsLost {
        /// Nothing was lost before this time; `CLOCK_MONOTONIC`, ns.
        since_ns: u64,
        /// Every lost record is older than this; `CLOCK_MONOTONIC`, ns.
        until_ns: u64,
        /// Number of lost records, as far as they can be counted.
        count: u64,
    },
    /// A reset for no live connection.
    StrayReset {
        /// None if the kernel gives no reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// State of the socket that the segment found. None if it found no socket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        /// The segment was a SYN: it asked for a connection.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asks: bool,
        /// Both ends, as the segment has them.
        endpoints: Endpoints,
    },
}

/// For fields that a recording leaves out if they have their default value.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines [`Body::name`] and [`Body::NAMES`] from one list.
macro_rules! names {
    (
        kernel side { $($kernel:ident = $name:literal,)* }
        user space { $($added:ident = $added_name:literal,)* }
    ) => {
        impl Body {
            /// Name of the kind of record, as in recordings and in `observer_records_total{record}`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$kernel { .. } => $name,)*
                    $(Self::$added { .. } => $added_name,)*
                }
            }

            /// Names of the records of the kernel side, in the order of the metric.
            pub const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];
        }
    };
}

names! {
    kernel side {
        Opened = "opened",
        StateChange = "state_change",
        ResetSent = "reset_sent",
        ResetReceived = "reset_received",
        Destroyed = "destroyed",
        WriteError = "write_error",
        StrayReset = "stray_reset",
        LingerInterrupted = "linger_interrupted",
        FinQueued = "fin_queued",
        LingerOver = "linger_over",
    }
    user space {
        Owner = "owner",
        NoOwner = "no_owner",
        RecordsLost = "records_lost",
    }
}
