//! What a story is told from, step by step: each event, cut down to what a reader of the story wants to see.
//!
//! Comes in: the events of one socket. Goes out: [`Step`]s, at most [`LIMIT`] a story. Nothing is decided on them.

use serde::{Deserialize, Serialize};

use super::{close_action, fin_action};
use crate::{
    event::{Body, Comm, Event, Reason, Socket, State, Task},
    words::LocalAction,
};

/// Steps of one story. A connection has five to eight; what comes after so many repeats itself.
pub const LIMIT: usize = 24;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The process whose call it was; None for what a packet or a timer did.
    pub who: Option<Who>,
    /// What.
    pub act: Act,
}

/// A process by number and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: Comm,
}

impl From<&Task> for Who {
    fn from(task: &Task) -> Self {
        Self { pid: task.pid, comm: task.comm }
    }
}

/// What a step was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// The socket changed its state.
    Moved {
        /// Before.
        old: State,
        /// After.
        new: State,
        /// The call of ours that did it, where one is known to have.
        call: Option<LocalAction>,
        /// SO_LINGER at that call, ms; None when off.
        linger_ms: Option<u64>,
        /// The peer's FIN had been received.
        peer_fin: bool,
        /// The socket's error, 0 or a positive errno.
        err: u32,
        /// Just before.
        queues: Queues,
    },
    /// We sent a reset.
    ResetSent {
        /// The kernel's name for why, where it gives one.
        reason: Option<Reason>,
    },
    /// A reset of the peer's was taken.
    ResetReceived {
        /// State in which it came.
        state: State,
    },
    /// The descriptor of a connection that was over was closed.
    Closed {
        /// How.
        call: LocalAction,
        /// Bytes received that nobody had read.
        unread: u32,
    },
    /// The kernel had an error to tell to the process.
    ErrorReported {
        /// Positive errno.
        errno: u32,
    },
    /// A lingering `close()` has waited.
    Waited {
        /// Until our FIN was acknowledged.
        acked: bool,
    },
    /// A signal came to the thread that lingered in `close()`.
    Signalled {
        /// Signal number.
        signal: u32,
    },
}

/// Bytes in the queues of a socket. Neither SYN nor FIN counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// Received and not read.
    pub unread: u32,
    /// Sent and not acknowledged.
    pub unacked: u32,
    /// Written and not sent.
    pub unsent: u32,
}

impl Queues {
    /// Written and not acknowledged, sent or not.
    #[must_use]
    pub fn outgoing(self) -> u64 {
        u64::from(self.unacked) + u64::from(self.unsent)
    }

    /// All together.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.unread) + self.outgoing()
    }
}

impl From<&Socket> for Queues {
    fn from(socket: &Socket) -> Self {
        Self { unread: socket.unread(), unacked: socket.unacked(), unsent: socket.unsent() }
    }
}

impl Step {
    /// The step that an event is; None for one that is no step of the connection's own: a beginning is known from the
    /// story, and each failing write is told by itself.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let act = match &event.body {
            Body::StateChange { old, new, socket } => Act::Moved {
                old: *old,
                new: *new,
                call: call(event.task, *old, *new, socket),
                linger_ms: socket.linger_ms,
                peer_fin: socket.flags.done,
                err: socket.err,
                queues: Queues::from(socket),
            },
            Body::ResetSent { reason, .. } => Act::ResetSent { reason: reason.clone() },
            Body::ResetReceived { state } => Act::ResetReceived { state: *state },
            // Where nobody had the connection, nobody closed it.
            Body::Destroyed { unread, .. } if event.task.is_some() => {
                Act::Closed { call: close_action(event.task), unread: *unread }
            }
            Body::LingerOver { state } => Act::Waited { acked: !state.fin_outstanding() },
            Body::LingerInterrupted { signal, .. } => Act::Signalled { signal: *signal },
            // A queued FIN shows in the change of state.
            Body::Opened { .. }
            | Body::FinQueued { .. }
            | Body::Destroyed { .. }
            | Body::WriteError { .. }
            | Body::Owner
            | Body::NoOwner { .. }
            | Body::RecordsLost { .. }
            | Body::StrayReset { .. } => return None,
        };
        Some(Self { ns: event.ns, who: event.task.as_ref().map(Who::from), act })
    }

    /// The error that the end has for the process: `tcp_reset`, `tcp_write_err` and `tcp_abort` report it (`sk_error_report`)
    /// around the change to CLOSE, if some process has the socket.
    #[must_use]
    pub fn told(event: &Event) -> Option<Self> {
        let Body::StateChange { new: State::Close, socket, .. } = &event.body else { return None };
        let told = socket.err != 0 && socket.flags.has_socket && !socket.flags.dead;
        told.then_some(Self { ns: event.ns, who: None, act: Act::ErrorReported { errno: socket.err } })
    }
}

fn call(task: Option<Task>, old: State, new: State, socket: &Socket) -> Option<LocalAction> {
    use State::{CloseWait, Established, FinWait1, LastAck, SynRecv};
    match (old, new) {
        (Established | SynRecv, FinWait1) | (CloseWait, LastAck) => Some(fin_action(task, socket, old)),
        _ if socket.flags.closing && task.is_some() => Some(close_action(task)),
        _ => None,
    }
}
