//! An actor: a process that executes the commands of a test on its sockets.
//!
//! The two ends of a connection belong to two actors, which differ in process id and name and can be killed. An actor
//! is this same executable, started with [`WORD`]. It reads one [`ActorCommand`] per line (JSON) from its standard
//! input, and writes one [`Answer`] per line. It ends at the end of its input.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub(crate) mod child;
mod descriptor;
mod files;
pub(crate) mod handle;
pub(crate) mod sockets;
mod uring;

pub(crate) use handle::Actor;

/// The first argument of an actor.
pub(crate) const WORD: &str = "actor";

/// A command for an actor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ActorCommand {
    /// The socket's name, which the test chose. For [`Action::Fork`] and [`Action::In`] the name of the forked process.
    pub(crate) name: String,
    pub(crate) action: Action,
}

/// A count, a port or a process id, or the errno. 0 if the action has no result.
pub(crate) type Answer = Result<u64, i32>;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Makes all later sockets MPTCP sockets.
    Mptcp,
    /// Opens a socket and does not connect it.
    Open {
        ipv6: bool,
    },
    /// Listens on a port that the kernel chooses. Answers the port.
    Listen(IpAddr),
    /// Listens on this address, which other listeners may share (SO_REUSEPORT). Answers the port.
    ListenTogether(SocketAddr),
    /// Accepts the next connection of this listener.
    Accept {
        listener: String,
    },
    /// Connects a new socket. Answers its local port.
    Connect(SocketAddr),
    /// As [`Action::Connect`], but non-blocking: the connection may still be pending.
    StartConnect(SocketAddr),
    /// As [`Action::Connect`], with the open socket of this name.
    ConnectOpened(SocketAddr),
    /// One send(2). Answers the bytes sent.
    Send {
        bytes: usize,
        flags: i32,
    },
    /// One sendfile(2) from this offset of a file. The offset is the call's argument or the file's own position.
    /// Answers the bytes sent.
    Sendfile {
        from: u64,
        bytes: usize,
        by_position: bool,
    },
    /// One splice(2) from a pipe. Answers the bytes sent.
    Splice {
        bytes: usize,
    },
    /// One send(2) of data at an invalid address.
    SendFromNowhere,
    /// Sends until no more fits and nothing is in flight. Answers the bytes sent.
    Fill,
    /// Answers the bytes that were written and are not acknowledged (SIOCOUTQ).
    Queued,
    /// Answers the part of [`Action::Queued`] that was never sent (SIOCOUTQNSD).
    Unsent,
    /// Answers the bytes that were received and are not read (SIOCINQ), also after a RST.
    Unread,
    /// Answers the sequence number of the next byte to be written.
    NextSequence,
    /// Reads this many bytes, or to the end. Answers the bytes read.
    Receive(u64),
    /// Waits for a condition. Fails with ETIME if it does not come true in time.
    Await(Condition),
    Shutdown(How),
    /// Sets SO_LINGER in seconds. None is off.
    Linger(Option<u64>),
    Set(SocketOption),
    /// Starts or stops dropping all packets that arrive, so that the peer gets no answer.
    Silence(bool),
    /// connect(AF_UNSPEC).
    Disconnect,
    Close,
    /// close(2), then send(2) on the same descriptor.
    CloseThenSend,
    /// Forks a child process, with copies of all descriptors. Answers its process id.
    Fork,
    /// A command for the forked child.
    In(Box<ActorCommand>),
    /// As [`Action::In`], without waiting for the child's answer.
    Relay(Box<ActorCommand>),
    /// A command for another thread of the actor.
    InThread(Box<ActorCommand>),
    /// Sends a copy of the descriptor to the process that does [`Action::TakeDescriptor`].
    PassDescriptor,
    /// Waits for a descriptor, which gets this name.
    TakeDescriptor,
    /// Executes this program anew, which closes all sockets. It has no answer.
    Exec,
    /// One send(2), by io_uring.
    UringSend {
        in_worker: bool,
    },
    /// close(2), by io_uring.
    UringClose {
        in_worker: bool,
    },
    /// Ends the process with every socket still open.
    Exit(i32),
    /// Changes the disposition of SIGPIPE, which actors ignore by default.
    Sigpipe(Disposition),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum How {
    Read,
    Write,
    Both,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Disposition {
    Handled,
    Kills,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Condition {
    /// At least this many bytes can be read.
    Readable(u64),
    /// The peer's FIN (or a reset) has come.
    PeerFin,
    /// RST or a timeout has ended the connection.
    Gone,
    /// The socket has an error for the next call.
    Error,
    /// Everything written has been acknowledged.
    Acked,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum SocketOption {
    NonBlocking,
    /// SO_KEEPALIVE: seconds idle, seconds between probes, and the number of probes.
    Keepalive {
        idle: u64,
        interval: u64,
        count: u32,
    },
    /// TCP_USER_TIMEOUT in milliseconds.
    UserTimeout(u64),
    /// TCP_LINGER2 in seconds.
    Linger2(i32),
    /// TCP_REPAIR on.
    Repair,
    /// TCP_FASTOPEN_CONNECT without a cookie: connect(2) sends nothing, the first write sends the SYN.
    FastOpenConnect,
    /// IP_RECVERR or IPV6_RECVERR: the next call fails with an ICMP error.
    PassIcmpErrors,
    /// SO_SNDBUF.
    SendBuffer(usize),
    /// TCP_CORK on: only full segments are sent.
    Cork,
}
