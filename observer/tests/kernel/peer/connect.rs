//! How a timeline begins: who connects to whom, and which socket of ours is at the other end.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::Peer;
use crate::actor::Action;
use crate::end::End;
use crate::lab::Lab;

/// The peer's clock, for timestamps; it does not tick by itself.
const CLOCK: u32 = 5000;

/// How much later the sequence numbers of the peer's next connection begin.
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

    /// From now on the peer's SYN offers timestamps, and its segments have them.
    pub(crate) fn offer_timestamps(&mut self) {
        self.timestamps = Some((CLOCK, 0));
    }

    /// The client begins a blocking connect(); its SYN has come. The answer is `us.actor.answer()`.
    #[track_caller]
    pub(crate) fn begin_connect(&mut self) -> End<'lab> {
        let us = self.client();
        us.actor.begin(US, Action::Connect(self.here));
        self.expect_syn();
        End { local: self.host, ..us }
    }

    /// The client begins a non-blocking connect(); its SYN has come.
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

    /// The client connects once more with the socket that it has. The kernel chooses another port.
    #[track_caller]
    pub(crate) fn connects_again(&mut self, us: &End<'lab>) -> End<'lab> {
        self.forget_connection();
        self.host.set_port(0);
        us.actor.begin(&us.name, Action::ConnectOpened(self.here));
        self.expect_syn();
        self.syn_ack();
        let us = End { local: self.host, name: us.name.clone(), ..*us };
        // A socket that does not block has only begun to connect.
        match us.actor.answer() {
            Ok(_) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => panic!("connecting again failed: {errno}"),
        }
        self.expect_ack();
        us
    }

    /// The client's end of a connection to the peer that is yet to be made.
    pub(crate) fn client(&self) -> End<'lab> {
        End {
            actor: &self.lab.cli,
            name: US.to_owned(),
            local: self.host,
            remote: self.here,
            opened_by: "local",
        }
    }

    /// The kernel's end; port 0 as long as it is not known.
    pub(crate) fn host(&self) -> SocketAddr {
        self.host
    }

    /// Where the peer is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.here
    }

    /// The server listens: its end of a connection that the peer is yet to make.
    #[track_caller]
    pub(crate) fn listener(&mut self) -> End<'lab> {
        let port = self.lab.srv.call(LISTENER, Action::Listen(self.host.ip())).expect("listening");
        self.nobody(u16::try_from(port).expect("a port"))
    }

    /// The end of a connection that the peer tries to make where nobody listens.
    pub(crate) fn nobody(&mut self, port: u16) -> End<'lab> {
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

    /// The peer has forgotten the connection and will begin another from the same port.
    pub(crate) fn forget_connection(&mut self) {
        self.first += STEP;
        (self.next, self.heard, self.host_first) = (0, 0, 0);
    }
}
