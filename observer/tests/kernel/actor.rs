//! An actor: a process of its own that does with its sockets what a test tells it.
//!
//! The two ends of a connection belong to two actors, so that they differ in process id and name and can be killed by
//! a signal. An actor is this same executable, started with [`WORD`]. It reads one [`Command`] a line (JSON) from its
//! standard input and answers one [`Answer`] a line; it ends when its input does.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub(crate) mod child;
mod descriptor;
mod files;
pub(crate) mod handle;
pub(crate) mod sockets;
mod uring;

pub(crate) use handle::Actor;

/// The first argument that makes an actor of this executable.
pub(crate) const WORD: &str = "actor";

/// What one actor is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Name of the socket concerned, chosen by the test; of the forked process for [`Act::Fork`] and [`Act::In`].
    pub(crate) name: String,
    pub(crate) act: Act,
}

/// A count, port or process id (0 where there is none to give), or the errno.
pub(crate) type Answer = Result<u64, i32>;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Sockets made from now on are of MPTCP.
    Mptcp,
    /// A socket that is not connected.
    Open {
        ipv6: bool,
    },
    /// A listener on a port of the kernel's choice: the port.
    Listen(IpAddr),
    /// A listener on this address that shares it with others (SO_REUSEPORT): the port.
    ListenTogether(SocketAddr),
    /// The next connection of the listener of this name.
    Accept {
        listener: String,
    },
    /// A new connection: its local port.
    Connect(SocketAddr),
    /// As [`Act::Connect`], non-blocking: the local port, with the connection pending.
    StartConnect(SocketAddr),
    /// As [`Act::Connect`], with the socket of this name that is open: its local port.
    ConnectOpened(SocketAddr),
    /// One send(2): the bytes it took.
    Send {
        bytes: usize,
        flags: i32,
    },
    /// One sendfile(2) from this place in a file, given as its argument or as the file's own position: the bytes it took.
    Sendfile {
        from: u64,
        bytes: usize,
        by_position: bool,
    },
    /// One splice(2) from a pipe: the bytes it took.
    Splice {
        bytes: usize,
    },
    /// One send(2) with an invalid address of the data.
    SendFromNowhere,
    /// Sends until no more fits and nothing is in flight: the bytes taken.
    Fill,
    /// Bytes written and not yet acknowledged (SIOCOUTQ).
    Queued,
    /// The part of [`Act::Queued`] that was never sent (SIOCOUTQNSD).
    Unsent,
    /// The sequence number of the next byte that will be written.
    NextSequence,
    /// Reads until so many bytes or the end have come: the bytes read.
    Receive(u64),
    /// Waits for a condition; ETIME when it does not come.
    Await(Condition),
    Shutdown(How),
    /// SO_LINGER: seconds, or off.
    Linger(Option<u64>),
    Set(SocketOption),
    /// Whether the socket drops all that arrives, so that its peer hears nothing.
    Silence(bool),
    /// connect(AF_UNSPEC).
    Disconnect,
    Close,
    /// close(2), then send(2) on the same descriptor.
    CloseThenSend,
    /// A child process with copies of all descriptors: its process id.
    Fork,
    /// Something for the forked child to do.
    In(Box<Command>),
    /// As [`Act::In`], without waiting for the child's answer.
    Relay(Box<Command>),
    /// Something for another thread to do.
    InThread(Box<Command>),
    /// Sends the descriptor to the process that does [`Act::TakeDescriptor`], and keeps it.
    PassDescriptor,
    /// Waits for a descriptor and gives it this name.
    TakeDescriptor,
    /// Executes this program anew, which closes all sockets. There is no answer.
    Exec,
    /// One send(2), by io_uring.
    UringSend {
        in_worker: bool,
    },
    /// close(2), by io_uring.
    UringClose {
        in_worker: bool,
    },
    /// Ends the process, with every socket still open.
    Exit(i32),
    /// SIGPIPE, which actors ignore, is handled from now on, or kills.
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
    /// So many bytes are there to be read.
    Readable(u64),
    /// The peer's FIN (or a reset) has come.
    PeerFin,
    /// The connection is gone: a reset or a timeout.
    Gone,
    /// An error waits for the next call.
    Error,
    /// Everything written has been acknowledged.
    Acked,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum SocketOption {
    NonBlocking,
    /// Seconds idle, seconds between probes, and the number of probes.
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
    /// IP_RECVERR, or IPV6_RECVERR: ICMP errors are passed on at once.
    PassIcmpErrors,
    /// SO_SNDBUF.
    SendBuffer(usize),
    /// TCP_CORK on: no segment leaves before it is full.
    Cork,
}
