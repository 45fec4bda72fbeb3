//! One end of a connection: the socket, the actor that has it, and what a test does with it.
//!
//! The methods say what must happen (`send` sends all of it, `send_fails` does not) and panic at the caller's line
//! when it does not.

use std::net::SocketAddr;

use nix::errno::Errno;
use nix::libc;

use crate::actor::{Act, Actor, Condition, How, SocketOption};
use crate::wait::DEADLINE;

pub(crate) struct End<'lab> {
    pub(crate) actor: &'lab Actor,
    /// The socket's name in its actor.
    pub(crate) name: String,
    /// Port 0 where the kernel chose one that could not be asked for.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// As the observer calls the side that connected.
    pub(crate) opened_by: &'static str,
}

impl End<'_> {
    /// The same connection seen from the other side, with the same actor: for what nobody's socket did there.
    pub(crate) fn other(&self) -> Self {
        Self { name: self.name.clone(), local: self.remote, remote: self.local, ..*self }
    }

    /// The name of a copy of the socket in another actor, where the peer's end has the name already.
    pub(crate) fn name_elsewhere(&self) -> String {
        format!("{} passed", self.name)
    }

    #[track_caller]
    pub(crate) fn call(&self, act: Act) -> Result<u64, Errno> {
        self.actor.call(&self.name, act)
    }

    #[track_caller]
    fn does(&self, act: Act) -> u64 {
        let what = format!("{} {}: {act:?}", self.actor.name(), self.name);
        // No closure, in which the caller's line would be lost.
        match self.call(act) {
            Ok(answer) => answer,
            Err(errno) => panic!("{what} failed: {errno}"),
        }
    }

    #[track_caller]
    fn fails(&self, act: Act, expected: Errno) {
        let what = format!("{} {}: {act:?}", self.actor.name(), self.name);
        assert_eq!(self.call(act), Err(expected), "{what}");
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: usize) {
        assert_eq!(self.does(Act::Send { bytes, flags: 0 }), bytes as u64, "bytes sent");
    }

    #[track_caller]
    pub(crate) fn send_fails(&self, expected: Errno) {
        self.fails(Act::Send { bytes: 10, flags: 0 }, expected);
    }

    /// As [`End::send_fails`], with MSG_NOSIGNAL.
    #[track_caller]
    pub(crate) fn send_quietly_fails(&self, expected: Errno) {
        self.fails(Act::Send { bytes: 10, flags: libc::MSG_NOSIGNAL }, expected);
    }

    /// As [`End::send_fails`], of another call that sends.
    #[track_caller]
    pub(crate) fn fails_to(&self, act: Act, expected: Errno) {
        self.fails(act, expected);
    }

    /// Starts a call that sends and blocks, of this number; returns when it does.
    #[track_caller]
    pub(crate) fn begin_to(&self, act: Act, call: i64) {
        self.actor.begin(&self.name, act);
        let blocked = crate::wait::eventually(DEADLINE, || self.actor.sleeps_in(call).then_some(()));
        assert!(blocked.is_some(), "the call does not block");
    }

    /// Sends until everything is full, and returns how much that was.
    #[track_caller]
    pub(crate) fn fill(&self) -> u64 {
        self.does(Act::Fill)
    }

    #[track_caller]
    pub(crate) fn receive(&self, bytes: u64) {
        assert_eq!(self.does(Act::Receive(bytes)), bytes, "bytes received");
    }

    /// Reads to the end, which must come after exactly so many bytes.
    #[track_caller]
    pub(crate) fn receive_to_end(&self, bytes: u64) {
        assert_eq!(self.does(Act::Receive(u64::MAX)), bytes, "bytes received up to the end");
    }

    /// Sent and not acknowledged, and never sent: as the kernel sees it now.
    #[track_caller]
    pub(crate) fn queues(&self) -> (u64, u64) {
        let (queued, unsent) = (self.does(Act::Queued), self.does(Act::Unsent));
        (queued - unsent, unsent)
    }

    #[track_caller]
    pub(crate) fn await_readable(&self, bytes: u64) {
        self.does(Act::Await(Condition::Readable(bytes)));
    }

    #[track_caller]
    pub(crate) fn await_peer_fin(&self) {
        self.does(Act::Await(Condition::PeerFin));
    }

    /// Waits until a reset or a timeout has ended the connection.
    #[track_caller]
    pub(crate) fn await_gone(&self) {
        self.does(Act::Await(Condition::Gone));
    }

    /// Waits until an error is there for the next call.
    #[track_caller]
    pub(crate) fn await_error(&self) {
        self.does(Act::Await(Condition::Error));
    }

    #[track_caller]
    pub(crate) fn await_acked(&self) {
        self.does(Act::Await(Condition::Acked));
    }

    #[track_caller]
    pub(crate) fn shutdown(&self, how: How) {
        self.does(Act::Shutdown(how));
    }

    #[track_caller]
    pub(crate) fn linger(&self, seconds: u64) {
        self.does(Act::Linger(Some(seconds)));
    }

    #[track_caller]
    pub(crate) fn set(&self, option: SocketOption) {
        self.does(Act::Set(option));
    }

    /// From now on this end hears nothing, so its peer gets no answer.
    #[track_caller]
    pub(crate) fn silence(&self) {
        self.does(Act::Silence(true));
    }

    #[track_caller]
    pub(crate) fn hear_again(&self) {
        self.does(Act::Silence(false));
    }

    /// close(2) answers 0 whatever becomes of the connection.
    #[track_caller]
    pub(crate) fn close(&self) {
        self.does(Act::Close);
    }

    /// Starts a close(2) that blocks; returns when it does.
    #[track_caller]
    pub(crate) fn begin_close(&self) {
        self.actor.begin(&self.name, Act::Close);
        let blocked =
            crate::wait::eventually(DEADLINE, || self.actor.sleeps_in(libc::SYS_close).then_some(()));
        assert!(blocked.is_some(), "close() does not block");
    }

    #[track_caller]
    pub(crate) fn end_close(&self) {
        assert_eq!(self.actor.answer(), Ok(0), "answer of close()");
    }
}
