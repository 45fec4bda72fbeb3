//! The beginning of a timeline: who connects to whom, and which socket is under test.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::Peer;
use crate::actor::Action;
use crate::end::End;
use crate::lab::Lab;

/// The peer's timestamp clock. It does not tick by itself.
const CLOCK: u32 = 5000;

/// The distance between the first sequence numbers of two connections of the peer.
const STEP: u32 = 1_000_000;

/// Names of the socket under test and its listener in their actor.
const US: &str = "us";
const LISTENER: &str = "listener beside the wire";

impl<'lab> Peer<'lab> {
    /// A connection that the client has made to the peer.
    #[track_caller]
    pub(crate) fn connected(lab: &'lab Lab) -> (Self, End<'lab>) {
        let mut peer = Self::new(lab);
        let us = peer.connects();
        (peer, us)
    }

    /// A connection that the peer has made to the server, and the server has accepted.
    #[track_caller]
    pub(crate) fn accepted(lab: &'lab Lab) -> (Self, End<'lab>) {
        let mut peer = Self::new(lab);
        let us = peer.listener();
        peer.syn();
        peer.expect_syn_ack();
        peer.ack();
        Self::accept(&us);
        (peer, us)
    }

    /// From now on the peer's segments have timestamps.
    pub(crate) fn offer_timestamps(&mut self) {
        self.timestamps = Some((CLOCK, 0));
    }

    /// The client begins a blocking connect(), and its SYN comes. `us.actor.answer()` is the result.
    #[track_caller]
    pub(crate) fn begin_connect(&mut self) -> End<'lab> {
        let us = self.client();
        us.actor.begin(US, Action::Connect(self.here));
        self.expect_syn();
        End { local: self.host, ..us }
    }

    /// The client begins a non-blocking connect(), and its SYN comes.
    #[track_caller]
    pub(crate) fn connecting(&mut self) -> End<'lab> {
        let us = self.client();
        us.call(Action::StartConnect(self.here)).expect("starting to connect");
        self.expect_syn();
        End { local: self.host, ..us }
    }

    /// The client connects.
    #[track_caller]
    pub(crate) fn connects(&mut self) -> End<'lab> {
        let us = self.begin_connect();
        self.syn_ack();
        us.actor.answer().expect("connecting");
        self.expect_ack();
        us
    }

    /// The client connects once more with the same socket. The kernel chooses another port.
    #[track_caller]
    pub(crate) fn connects_again(&mut self, us: &End<'lab>) -> End<'lab> {
        self.forget_connection();
        self.host.set_port(0);
        us.actor.begin(&us.name, Action::ConnectOpened(self.here));
        self.expect_syn();
        self.syn_ack();
        let us = End { local: self.host, name: us.name.clone(), ..*us };
        // A non-blocking socket answers EINPROGRESS.
        match us.actor.answer() {
            Ok(_) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => panic!("connecting again failed: {errno}"),
        }
        self.expect_ack();
        us
    }

    /// The client's end of a connection to the peer that is not begun.
    pub(crate) fn client(&self) -> End<'lab> {
        End {
            actor: &self.lab.cli,
            name: US.to_owned(),
            local: self.host,
            remote: self.here,
            opened_by: "local",
        }
    }

    /// The kernel's address. Port 0 as long as it is unknown.
    pub(crate) fn host(&self) -> SocketAddr {
        self.host
    }

    /// The peer's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.here
    }

    /// The server listens. Returns its end of a connection that the peer has not begun.
    #[track_caller]
    pub(crate) fn listener(&mut self) -> End<'lab> {
        let port = self.lab.srv.call(LISTENER, Action::Listen(self.host.ip())).expect("listening");
        self.kernel_end(u16::try_from(port).expect("a port"))
    }

    /// The kernel's end of a connection from the peer to this port, which may have no listener.
    pub(crate) fn kernel_end(&mut self, port: u16) -> End<'lab> {
        self.host.set_port(port);
        End {
            actor: &self.lab.srv,
            name: US.to_owned(),
            local: self.host,
            remote: self.here,
            opened_by: "remote",
        }
    }

    /// The server accepts the peer's connection.
    #[track_caller]
    pub(crate) fn accept(us: &End<'_>) {
        us.call(Action::Accept { listener: LISTENER.to_owned() }).expect("accepting");
    }

    #[track_caller]
    pub(crate) fn close_listener(&self) {
        self.lab.srv.call(LISTENER, Action::Close).expect("closing the listener");
    }

    /// The peer forgets the connection. Its next connection uses the same port.
    pub(crate) fn forget_connection(&mut self) {
        self.first += STEP;
        (self.next, self.heard, self.host_first) = (0, 0, 0);
    }
}
