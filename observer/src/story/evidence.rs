//! What a story is made of: one small struct per thing that was seen.

use std::net::SocketAddr;

use crate::{
    event::{Endpoints, Flags, Reason, Socket, State, Task},
    words::{LocalAction, Side},
};

/// The connection's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When `connect()` was called, or the handshake was complete.
    pub ns: u64,
    /// Who connected.
    pub by: Side,
    /// The process that called `connect()`; None when the peer connected, or when it was not recorded.
    pub task: Option<Task>,
    /// Both ends, as far as the kernel had chosen them. None in recordings of 0.1.0.
    pub endpoints: Option<Endpoints>,
    /// Inode of the socket's file; 0 when unknown.
    pub inode: u64,
    /// The handshake went on then (TCP Fast Open).
    pub early: bool,
}

impl Opening {
    /// Whether this can be the beginning of the connection that a record shows this socket of. The kernel uses the memory
    /// of a socket again, so an opening whose end was not seen can be another connection's.
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
    /// When.
    pub ns: u64,
    /// By which call.
    pub action: LocalAction,
    /// By which process; None when it was not seen (a deferred FIN leaves in softirq).
    pub task: Option<Task>,
    /// `write_seq` before the FIN took its number.
    pub write_seq: u32,
    /// It left at once: nothing waited before it, and the peer's window took it. Else it waited in the send queue.
    pub left_at_once: bool,
    /// Segments with data that had come by then.
    pub data_segs_in: Option<u32>,
}

/// The peer's FIN arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerFin {
    /// When.
    pub ns: u64,
    /// What we had written by then.
    pub write_seq: u32,
    /// `rcv_nxt` behind the FIN: it does not move any more.
    pub rcv_nxt: u32,
    /// Segments with data that had come by then.
    pub data_segs_in: Option<u32>,
}

/// `close()` by a call, an exit or a signal, with the SO_LINGER of that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCall {
    /// When.
    pub ns: u64,
    /// How.
    pub action: LocalAction,
    /// By which process.
    pub task: Option<Task>,
    /// SO_LINGER: None when off, else its time in ms.
    pub linger_ms: Option<u64>,
    /// What the application had not read.
    pub unread: u32,
    /// Segments with data that had come by then.
    pub data_segs_in: Option<u32>,
}

/// A reset of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetSent {
    /// When.
    pub ns: u64,
    /// The kernel's name for it, where it gives one.
    pub reason: Option<Reason>,
    /// Our side decided, rather than a segment of the peer's.
    pub active: bool,
    /// State then: CLOSE already where a process aborts.
    pub state: State,
    /// The socket's flags then.
    pub flags: Flags,
}

/// `tcp_reset()` ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetReceived {
    /// When.
    pub ns: u64,
    /// State in which it came.
    pub state: State,
}

/// The socket reached CLOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When.
    pub ns: u64,
    /// State before.
    pub old: State,
    /// The socket just before, queues still intact.
    pub socket: Socket,
    /// Who ended it by a call; not necessarily who had it (`ss -K`).
    pub task: Option<Task>,
}
