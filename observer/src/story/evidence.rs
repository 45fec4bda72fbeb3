//! The parts of a story: one small struct per thing that was seen. Times are `CLOCK_MONOTONIC`, ns.

use std::net::SocketAddr;

use crate::{
    event::{Endpoints, Flags, Reason, Socket, State, Task},
    words::{LocalAction, Side},
};

/// The beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When `connect()` was called, or the handshake completed.
    pub ns: u64,
    /// The side that connected.
    pub by: Side,
    /// The process that called `connect()`. None if the peer connected, or if it was not recorded.
    pub task: Option<Task>,
    /// Both ends, with port 0 where the kernel had not chosen one yet. None in recordings of 0.1.0.
    pub endpoints: Option<Endpoints>,
    /// Inode of the socket's file; 0 if unknown.
    pub inode: u64,
    /// The handshake was not complete (TCP Fast Open).
    pub early: bool,
}

impl Opening {
    /// Whether this opening can belong to the connection that a record shows. The kernel reuses the address of a
    /// socket, so an opening whose end was not seen may belong to an earlier connection.
    #[must_use]
    pub fn fits(&self, socket: &Socket) -> bool {
        if self.inode != 0 && socket.inode != 0 && self.inode != socket.inode {
            return false;
        }
        let Some(opened) = self.endpoints else { return true };
        let now = socket.endpoints;
        let same = |then: SocketAddr, now: SocketAddr| {
            let port = then.port() == 0 || now.port() == 0 || then.port() == now.port();
            let any = |end: SocketAddr| end.port() == 0 || end.ip().is_unspecified();
            port && (any(then) || any(now) || then.ip() == now.ip())
        };
        opened.netns == now.netns && same(opened.local, now.local) && same(opened.remote, now.remote)
    }
}

/// Our FIN was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinSent {
    /// Time.
    pub ns: u64,
    /// The call that queued it.
    pub action: LocalAction,
    /// The process that called; None if it was not seen (a deferred FIN leaves in softirq).
    pub task: Option<Task>,
    /// `write_seq` before the FIN took its sequence number.
    pub write_seq: u32,
    /// It left at once: no data waited before it, and the peer's window had room. Otherwise it waited in the send
    /// queue.
    pub left_at_once: bool,
    /// Number of data segments received by then; None in recordings of 0.1.0.
    pub data_segs_in: Option<u32>,
}

/// The peer's FIN arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerFin {
    /// Time.
    pub ns: u64,
    /// Our `write_seq` at that time, without our FIN.
    pub write_seq: u32,
    /// `rcv_nxt` after the FIN, which is final.
    pub rcv_nxt: u32,
    /// Number of data segments received by then; None in recordings of 0.1.0.
    pub data_segs_in: Option<u32>,
}

/// `close()` by a call, an exit or a signal, with SO_LINGER at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCall {
    /// Time.
    pub ns: u64,
    /// How the descriptor was closed.
    pub action: LocalAction,
    /// The process that closed.
    pub task: Option<Task>,
    /// Time of SO_LINGER, ms; None if it is off.
    pub linger_ms: Option<u64>,
    /// Bytes that the application had not read.
    pub unread: u32,
    /// Number of data segments received by then; None in recordings of 0.1.0.
    pub data_segs_in: Option<u32>,
}

/// A reset of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetSent {
    /// Time.
    pub ns: u64,
    /// None if the kernel gives no reason (before 6.10).
    pub reason: Option<Reason>,
    /// Our side decided; false if a segment of the peer provoked the reset.
    pub active: bool,
    /// State at that time: already CLOSE if a process aborts.
    pub state: State,
    /// The socket's flags at that time.
    pub flags: Flags,
}

/// `tcp_reset()` ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetReceived {
    /// Time.
    pub ns: u64,
    /// State in which the reset came.
    pub state: State,
}

/// The socket reached CLOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Time.
    pub ns: u64,
    /// State before.
    pub old: State,
    /// The socket just before, with its queues.
    pub socket: Socket,
    /// The process whose call ended the connection. It may not be the owner (`ss -K`).
    pub task: Option<Task>,
}
