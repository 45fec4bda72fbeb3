//! One end of a connection: the actor, the name of its socket, and the operations on it.
//!
//! Each method checks its result (`send` sends all bytes, `send_fails` fails). Otherwise it panics at the caller's
//! line.

use std::net::SocketAddr;

use nix::errno::Errno;
use nix::libc;

use crate::actor::{Action, Actor, Condition, How, SocketOption};
use crate::wait::DEADLINE;

pub(crate) struct End<'lab> {
    pub(crate) actor: &'lab Actor,
    /// The socket's name in its actor.
    pub(crate) name: String,
    /// Port 0 if the kernel chose the port and the test does not know it.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The expected value of the report's `opened_by`.
    pub(crate) opened_by: &'static str,
}

impl End<'_> {
    /// The same connection from the other side, with the same actor: for segments that no socket of that side sent.
    pub(crate) fn other(&self) -> Self {
        Self { name: self.name.clone(), local: self.remote, remote: self.local, ..*self }
    }

    /// A name for a copy of the socket in the other actor, in which the peer's end already has the plain name.
    pub(crate) fn name_elsewhere(&self) -> String {
        format!("{} passed", self.name)
    }

    #[track_caller]
    pub(crate) fn call(&self, action: Action) -> Result<u64, Errno> {
        self.actor.call(&self.name, action)
    }

    #[track_caller]
    fn does(&self, action: Action) -> u64 {
        let what = format!("{} {}: {action:?}", self.actor.name(), self.name);
        // No closure here: it would lose the caller's line.
        match self.call(action) {
            Ok(answer) => answer,
            Err(errno) => panic!("{what} failed: {errno}"),
        }
    }

    /// Does `action`, which must fail with this errno.
    #[track_caller]
    pub(crate) fn fails(&self, action: Action, expected: Errno) {
        let what = format!("{} {}: {action:?}", self.actor.name(), self.name);
        assert_eq!(self.call(action), Err(expected), "{what}");
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: usize) {
        assert_eq!(self.does(Action::Send { bytes, flags: 0 }), bytes as u64, "bytes sent");
    }

    #[track_caller]
    pub(crate) fn send_fails(&self, expected: Errno) {
        self.fails(Action::Send { bytes: 10, flags: 0 }, expected);
    }

    /// As [`End::send_fails`], with MSG_NOSIGNAL.
    #[track_caller]
    pub(crate) fn send_quietly_fails(&self, expected: Errno) {
        self.fails(Action::Send { bytes: 10, flags: libc::MSG_NOSIGNAL }, expected);
    }

    /// Begins a blocking send. Returns when the actor sleeps in this system call.
    #[track_caller]
    pub(crate) fn begin_blocking(&self, action: Action, call: i64) {
        self.actor.begin(&self.name, action);
        let blocked = crate::wait::eventually(DEADLINE, || self.actor.sleeps_in(call).then_some(()));
        assert!(blocked.is_some(), "the call did not block");
    }

    /// Sends until all buffers are full. Returns the bytes sent.
    #[track_caller]
    pub(crate) fn fill(&self) -> u64 {
        self.does(Action::Fill)
    }

    #[track_caller]
    pub(crate) fn receive(&self, bytes: u64) {
        assert_eq!(self.does(Action::Receive(bytes)), bytes, "bytes received");
    }

    /// Reads to the end, which must come after exactly this many bytes.
    #[track_caller]
    pub(crate) fn receive_to_end(&self, bytes: u64) {
        assert_eq!(self.does(Action::Receive(u64::MAX)), bytes, "bytes received up to the end");
    }

    /// The bytes in the send queue now: sent but unacknowledged, and never sent.
    #[track_caller]
    pub(crate) fn queues(&self) -> (u64, u64) {
        let (queued, unsent) = (self.does(Action::Queued), self.does(Action::Unsent));
        (queued - unsent, unsent)
    }

    /// The bytes in the receive queue now.
    #[track_caller]
    pub(crate) fn unread(&self) -> u64 {
        self.does(Action::Unread)
    }

    #[track_caller]
    pub(crate) fn await_readable(&self, bytes: u64) {
        self.does(Action::Await(Condition::Readable(bytes)));
    }

    #[track_caller]
    pub(crate) fn await_peer_fin(&self) {
        self.does(Action::Await(Condition::PeerFin));
    }

    /// Waits until a reset or a timeout has ended the connection.
    #[track_caller]
    pub(crate) fn await_gone(&self) {
        self.does(Action::Await(Condition::Gone));
    }

    /// Waits until the socket has an error for the next call.
    #[track_caller]
    pub(crate) fn await_error(&self) {
        self.does(Action::Await(Condition::Error));
    }

    #[track_caller]
    pub(crate) fn await_acked(&self) {
        self.does(Action::Await(Condition::Acked));
    }

    #[track_caller]
    pub(crate) fn shutdown(&self, how: How) {
        self.does(Action::Shutdown(how));
    }

    #[track_caller]
    pub(crate) fn linger(&self, seconds: u64) {
        self.does(Action::Linger(Some(seconds)));
    }

    #[track_caller]
    pub(crate) fn set(&self, option: SocketOption) {
        self.does(Action::Set(option));
    }

    /// From now on this end drops all packets, so its peer gets no answer.
    #[track_caller]
    pub(crate) fn silence(&self) {
        self.does(Action::Silence(true));
    }

    #[track_caller]
    pub(crate) fn hear_again(&self) {
        self.does(Action::Silence(false));
    }

    /// close(2) returns 0 however the connection ends.
    #[track_caller]
    pub(crate) fn close(&self) {
        self.does(Action::Close);
    }

    /// Begins a blocking close(2). Returns when the actor sleeps in it.
    #[track_caller]
    pub(crate) fn begin_close(&self) {
        self.actor.begin(&self.name, Action::Close);
        let blocked =
            crate::wait::eventually(DEADLINE, || self.actor.sleeps_in(libc::SYS_close).then_some(()));
        assert!(blocked.is_some(), "close() did not block");
    }

    #[track_caller]
    pub(crate) fn await_close(&self) {
        assert_eq!(self.actor.answer(), Ok(0), "answer of close()");
    }
}
