//! What comes out of the table: signs of an end, connections without a process, and counts of what did not fit.

use super::super::Story;
use crate::event::{Endpoints, Reason, SockId, Socket, State, Task};

/// A story, or a part of one, that is ready to be reported.
#[derive(Debug)]
pub enum Emitted<'a> {
    /// A connection has ended.
    Close(&'a Story),
    /// A send failed.
    WriteError {
        /// The connection's story so far; None if no sign of its end has been seen.
        story: Option<&'a Story>,
        /// The failed send.
        failed: FailedWrite<'a>,
    },
    /// A reset was sent for no live connection.
    StrayReset(Stray<'a>),
    /// The time of a lingering `close()` is over. `classify` decides whether it was still waiting.
    LingerDeadline(&'a Story),
}

/// A send that failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedWrite<'a> {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The writer; None if a packet or a timer ran the send.
    pub process: Option<Task>,
    /// Positive errno.
    pub errno: u32,
    /// The kernel generated SIGPIPE.
    pub sigpipe: bool,
    /// The socket after the failure.
    pub socket: &'a Socket,
}

/// A reset for no live connection.
#[derive(Debug, Clone, Copy)]
pub struct Stray<'a> {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// None if the kernel gives no reason.
    pub reason: Option<&'a Reason>,
    /// State of the socket that the segment found; None if it found no socket.
    pub state: Option<State>,
    /// The segment was a SYN: it asked for a connection.
    pub asks: bool,
    /// Both ends, as the segment has them.
    pub endpoints: Endpoints,
}

/// Counts of everything that the table could not keep, or missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Events of connections that did not fit.
    pub stories: u64,
    /// Openings that did not fit; the verdict then has no duration.
    pub openings: u64,
    /// Connections whose failed sends did not fit. Verdicts of connections that were open then lack records.
    pub early_errors: u64,
    /// Connections that ended unseen: another connection uses the socket already. A record was lost, or the kernel ran
    /// no program: it skips them in processes that it shields, and for packets that arrive while such a process is on
    /// the CPU.
    pub unseen_ends: u64,
}

/// A connection whose process must be found in another way. [`Body::Owner`](crate::event::Body::Owner) or
/// [`Body::NoOwner`](crate::event::Body::NoOwner) is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unowned {
    /// The socket.
    pub sock: SockId,
    /// The time that the answer must have; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The process to find.
    pub wanted: WantedOwner,
    /// When the connection ended; `CLOCK_MONOTONIC`, ns.
    pub ended_ns: u64,
}

/// The process to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedOwner {
    /// The one that holds the socket with this inode.
    Holder(u64),
    /// The one that listens on the local address, because no process had accepted the connection.
    Listener(Endpoints),
}
