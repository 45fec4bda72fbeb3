//! The steps of a story, for `observer explain`: each event, reduced to what a reader needs.
//!
//! In: the events of one socket. Out: [`Step`]s, at most [`LIMIT`] per story. No decision depends on them.

use serde::{Deserialize, Serialize};

use super::{close_action, fin_action};
use crate::{
    event::{Body, Comm, Event, Reason, Socket, State, Task},
    words::LocalAction,
};

/// Most steps per story. A connection usually has five to eight, and steps beyond this limit repeat earlier ones.
pub const LIMIT: usize = 24;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Time; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The process that called; None if a packet or a timer caused the step.
    pub who: Option<Who>,
    /// The event.
    pub act: Act,
}

/// A process by id and name.
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

/// The event of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// The socket changed its state.
    Moved {
        /// State before.
        old: State,
        /// State after.
        new: State,
        /// Our call that caused it; None if no call is known.
        call: Option<LocalAction>,
        /// Time of SO_LINGER at that call, ms; None if it is off.
        linger_ms: Option<u64>,
        /// The peer's FIN had been received.
        peer_fin: bool,
        /// The socket's error: a positive errno, or 0.
        err: u32,
        /// The queues just before.
        queues: Queues,
    },
    /// We sent a reset.
    ResetSent {
        /// None if the kernel gives no reason (before 6.10).
        reason: Option<Reason>,
    },
    /// A reset of the peer was accepted.
    ResetReceived {
        /// State in which the reset came.
        state: State,
    },
    /// The descriptor was closed after the connection had ended.
    Closed {
        /// How it was closed.
        call: LocalAction,
        /// Bytes received that no process had read.
        unread: u32,
    },
    /// The kernel reported an error to the process.
    ErrorReported {
        /// Positive errno.
        errno: u32,
    },
    /// A lingering `close()` stopped waiting.
    Waited {
        /// Our FIN was acknowledged.
        acked: bool,
    },
    /// A signal was delivered to the thread that lingered in `close()`.
    Signalled {
        /// Signal number.
        signal: u32,
    },
}

/// Bytes in the queues of a socket. Neither SYN nor FIN counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// Bytes received and not read.
    pub unread: u32,
    /// Bytes sent and not acknowledged.
    pub unacked: u32,
    /// Bytes written and not sent.
    pub unsent: u32,
}

impl Queues {
    /// Bytes written and not acknowledged, sent or not.
    #[must_use]
    pub fn outgoing(self) -> u64 {
        u64::from(self.unacked) + u64::from(self.unsent)
    }

    /// Bytes in all queues.
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
    /// The step that an event makes. None for an event that is no step: the story has the opening, and a failed write
    /// has a report of its own.
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
            // Without a process the connection was never accepted, and so never closed.
            Body::Destroyed { unread, .. } if event.task.is_some() => {
                Act::Closed { call: close_action(event.task), unread: *unread }
            }
            Body::LingerOver { state } => Act::Waited { acked: !state.fin_outstanding() },
            Body::LingerInterrupted { signal, .. } => Act::Signalled { signal: *signal },
            // The change of state shows a queued FIN.
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

    /// The error that the process gets at the end, if a process holds the socket. `tcp_reset()`, `tcp_write_err()` and
    /// `tcp_abort()` report it (`sk_error_report()`) around the change to CLOSE.
    #[must_use]
    pub fn error_reported(event: &Event) -> Option<Self> {
        let Body::StateChange { new: State::Close, socket, .. } = &event.body else { return None };
        let reported = socket.err != 0 && socket.flags.has_socket && !socket.flags.dead;
        reported.then_some(Self { ns: event.ns, who: None, act: Act::ErrorReported { errno: socket.err } })
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
