//! One end of a random connection: its socket, the operations on it, and the expected reports.
//!
//! One thread has both ends and stays on one CPU. On the loopback interface the sending CPU handles each packet, in the
//! order of sending. So packets cannot overtake one another, and events come in the order of the thread's calls. The
//! thread waits for everything that takes the kernel longer.

use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socket2::Socket;

use crate::actor::sockets::on_socket;
use crate::actor::{Action, Condition, How, SocketOption};
use crate::report::Bytes;
use crate::wait::{DEADLINE, eventually};

/// The expected reports on one socket, or on an address without a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) local: u16,
    pub(crate) remote: u16,
    /// None if there was never a socket.
    pub(crate) close: Option<Value>,
    /// The peer's FIN may carry the acknowledgement of our FIN: then the cause is `orderly`, not `closed_first`.
    pub(crate) may_be_orderly: bool,
    /// Its failing writes, in order.
    pub(crate) errors: Vec<Value>,
    /// RSTs that this end's address sent without a connection.
    pub(crate) resets: Vec<Value>,
}

/// States of a socket, with their numbers in TCP_INFO.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    FinWait2 = 5,
    /// TCP_INFO also shows this state for a socket in TIME_WAIT.
    Close = 7,
}

pub(crate) struct Side {
    /// None after close().
    socket: Option<Socket>,
    pub(crate) local: u16,
    pub(crate) remote: u16,
    opened_by: &'static str,
    errors: Vec<Value>,
    resets: Vec<Value>,
}

impl Side {
    pub(crate) fn new(socket: Socket, remote: u16, opened_by: &'static str) -> Self {
        let local = socket.local_addr().expect("its own address").as_socket().expect("of IP").port();
        socket.set_read_timeout(Some(DEADLINE)).expect("limiting the wait for data");
        Self { socket: Some(socket), local, remote, opened_by, errors: Vec::new(), resets: Vec::new() }
    }

    /// An address without a socket.
    pub(crate) fn without_socket(local: u16, remote: u16) -> Self {
        Self { socket: None, local, remote, opened_by: "remote", errors: Vec::new(), resets: Vec::new() }
    }

    fn socket(&self) -> &Socket {
        self.socket.as_ref().expect("a socket that is open")
    }

    #[track_caller]
    pub(crate) fn does(&self, action: Action) -> u64 {
        let what = format!("{} -> {}: {action:?}", self.local, self.remote);
        match on_socket(self.socket(), action) {
            Ok(answer) => answer,
            Err(error) => panic!("{what} failed: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: usize) {
        assert_eq!(self.does(Action::Send { bytes, flags: 0 }), bytes as u64, "bytes sent");
    }

    #[track_caller]
    pub(crate) fn receive(&self, bytes: usize) {
        assert_eq!(self.does(Action::Receive(bytes as u64)), bytes as u64, "bytes received");
    }

    #[track_caller]
    pub(crate) fn receive_to_end(&self, bytes: usize) {
        assert_eq!(self.does(Action::Receive(u64::MAX)), bytes as u64, "bytes received up to the end");
    }

    #[track_caller]
    pub(crate) fn receive_fails(&self, errno: Errno) {
        let error = on_socket(self.socket(), Action::Receive(1)).expect_err("receiving must fail");
        assert_eq!(error.raw_os_error(), Some(errno as i32), "receiving: {error}");
    }

    /// A send that must fail and be reported with this cause. It raises SIGPIPE unless `quietly`.
    #[track_caller]
    pub(crate) fn send_fails(&mut self, errno: Errno, cause: &str, quietly: bool) {
        let flags = if quietly { libc::MSG_NOSIGNAL } else { 0 };
        let error =
            on_socket(self.socket(), Action::Send { bytes: 10, flags }).expect_err("sending must fail");
        assert_eq!(error.raw_os_error(), Some(errno as i32), "sending: {error}");
        let sigpipe = errno == Errno::EPIPE && !quietly;
        self.errors.push(json!({"errno": format!("{errno:?}"), "sigpipe": sigpipe, "cause": cause}));
    }

    #[track_caller]
    pub(crate) fn await_readable(&self, bytes: usize) {
        self.does(Action::Await(Condition::Readable(bytes as u64)));
    }

    #[track_caller]
    pub(crate) fn await_peer_fin(&self) {
        self.does(Action::Await(Condition::PeerFin));
    }

    /// Reads the peer's FIN, without data before it, and acknowledges it. If the peer has closed, its socket is then
    /// gone.
    #[track_caller]
    pub(crate) fn take_peer_fin(&self) {
        self.receive_to_end(0);
        self.acknowledge();
    }

    /// Waits until a reset or a timeout has ended the connection.
    #[track_caller]
    pub(crate) fn await_gone(&self) {
        self.does(Action::Await(Condition::Gone));
    }

    #[track_caller]
    pub(crate) fn await_acked(&self) {
        self.does(Action::Await(Condition::Acked));
    }

    #[track_caller]
    pub(crate) fn await_state(&self, state: State) {
        let reached = eventually(DEADLINE, || (self.state() == state as u8).then_some(()));
        assert!(reached.is_some(), "{} -> {} is not in {state:?}", self.local, self.remote);
    }

    /// `tcpi_state`, the first byte of TCP_INFO.
    fn state(&self) -> u8 {
        let (mut state, mut length) = (0_u8, 1);
        // SAFETY: the call writes at most the one byte of the buffer.
        let asked = unsafe {
            let (state, length) = ((&raw mut state).cast(), &raw mut length);
            libc::getsockopt(self.socket().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, state, length)
        };
        Errno::result(asked).expect("asking for TCP_INFO");
        state
    }

    /// Makes the kernel send a delayed acknowledgement at once, instead of after up to 40 ms. It does so only if all
    /// data was read (`tcp_cleanup_rbuf`).
    pub(crate) fn acknowledge(&self) {
        self.socket().set_tcp_quickack(true).expect("setting TCP_QUICKACK");
    }

    pub(crate) fn shutdown(&self, how: How) {
        self.does(Action::Shutdown(how));
    }

    pub(crate) fn linger(&self, seconds: u64) {
        self.does(Action::Linger(Some(seconds)));
    }

    pub(crate) fn set(&self, option: SocketOption) {
        self.does(Action::Set(option));
    }

    /// From now on this end drops all packets, so its peer gets no answer.
    pub(crate) fn silence(&self) {
        self.does(Action::Silence(true));
    }

    pub(crate) fn hear_again(&self) {
        self.does(Action::Silence(false));
    }

    pub(crate) fn close(&mut self) {
        drop(self.socket.take().expect("a socket that is open"));
    }

    /// Expects an RST from this end's address without a connection.
    pub(crate) fn resets(&mut self, cause: &str) {
        self.resets.push(json!({"cause": cause}));
    }

    /// The expected reports on this end.
    pub(crate) fn ends(
        self,
        (outcome, cause): (&str, &str),
        first_close: &str,
        local_action: &str,
        bytes: Bytes,
    ) -> Expected {
        let close = json!({
            "process": {"pid": std::process::id(), "comm": super::driver::WORD, "uid": 0},
            "connection": {"opened_by": self.opened_by},
            "outcome": outcome, "cause": cause, "first_close": first_close, "local_action": local_action,
            "bytes": bytes, "evidence": "exact", "missing": [],
        });
        Expected { close: Some(close), ..self.ends_nothing() }
    }

    /// The expected reports on an address without a socket: no verdict.
    pub(crate) fn ends_nothing(self) -> Expected {
        let Self { local, remote, errors, resets, .. } = self;
        Expected { local, remote, close: None, may_be_orderly: false, errors, resets }
    }
}

impl Expected {
    /// Also accepts `orderly`, if both sides close one right after the other.
    pub(crate) fn or_orderly(self) -> Self {
        Self { may_be_orderly: true, ..self }
    }

    /// Adds a field to the expected close.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.close.as_mut().expect("a close")[name] = value;
        self
    }
}
