//! The records: one `#[repr(C)]` struct per kind.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Numbers of the kinds: the first field of every record.
pub mod kind {
    /// [`super::Opened`]
    pub const OPENED: u32 = 1;
    /// [`super::StateChange`]
    pub const STATE_CHANGE: u32 = 2;
    /// [`super::ResetSent`]
    pub const RESET_SENT: u32 = 3;
    /// [`super::ResetReceived`]
    pub const RESET_RECEIVED: u32 = 4;
    /// [`super::Destroyed`]
    pub const DESTROYED: u32 = 5;
    /// [`super::WriteError`]
    pub const WRITE_ERROR: u32 = 6;
    /// [`super::StrayReset`]
    pub const STRAY_RESET: u32 = 7;
    /// [`super::LingerInterrupted`]
    pub const LINGER_INTERRUPTED: u32 = 8;
    /// [`super::FinQueued`]
    pub const FIN_QUEUED: u32 = 9;
    /// [`super::LingerOver`]
    pub const LINGER_OVER: u32 = 10;
    /// [`super::Act`]
    pub const ACT: u32 = 11;
}

/// The part that every record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Header {
    /// One of the numbers in [`kind`].
    pub kind: u32,
    /// 1 if the record has a valid [`Task`], 0 if the hook did not run for a process.
    pub has_task: u32,
    /// Time of the event, `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the socket. It is unique while the socket exists, and the kernel reuses it afterwards. 0 without a socket.
    pub sock: u64,
}

/// The process whose system call caused the event, if there is one (see [`Header::has_task`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Task {
    /// Process id (the kernel's tgid) in the initial pid namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// `task_struct.flags`; see [`PF_EXITING`] and [`PF_KTHREAD`].
    pub flags: u32,
    /// `task_struct.exit_code`. Once the task exits, its low seven bits are the fatal signal.
    pub exit_code: u32,
    /// Zero.
    pub pad: u32,
    /// Id of the thread's cgroup v2. 0 if the kernel has no cgroup v2.
    pub cgroup: u64,
    /// Name of the thread group leader, NUL-padded.
    pub comm: [u8; 16],
}

/// The task is exiting (`include/linux/sched.h`, the same value in 5.10 to 7.2).
pub const PF_EXITING: u32 = 0x4;
/// The task is a kernel thread (`include/linux/sched.h`, the same value in 5.10 to 7.2).
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Both endpoints of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Endpoints {
    /// Local address, in network byte order. IPv4 fills the first four bytes.
    pub local: [u8; 16],
    /// Remote address, in the same form.
    pub remote: [u8; 16],
    /// Local port, in host byte order.
    pub local_port: u16,
    /// Remote port, in host byte order.
    pub remote_port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Zero.
    pub pad: u16,
}

/// IPv4 (`include/linux/socket.h`).
pub const AF_INET: u16 = 2;
/// IPv6 (`include/linux/socket.h`).
pub const AF_INET6: u16 = 10;

/// A TCP socket at the time of a hook.
///
/// Half of all records contain little else, so its size decides how many records fit into the ring buffer. Fields are
/// therefore as narrow as their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Socket {
    /// Both endpoints.
    pub endpoints: Endpoints,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// First sequence number that the application has not read.
    pub copied_seq: u32,
    /// Sequence number after the last byte that the application wrote.
    pub write_seq: u32,
    /// Next sequence number to be sent.
    pub snd_nxt: u32,
    /// First sequence number that the peer has not acknowledged.
    pub snd_una: u32,
    /// Inode of the socket's file. 0 for an orphan and before accept().
    pub inode: u64,
    /// `sk_lingertime`, in jiffies. `u32::MAX` if it is longer (49 days and more).
    pub lingertime: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// `sk_err`: a positive errno, or 0.
    pub err: u16,
    /// `sk_state` at the time of the hook (see [`tcp_state`](super::tcp_state)).
    pub state: u8,
    /// `sk_shutdown`, a set of bits: 1 receiving is shut down, 2 sending is.
    pub shutdown: u8,
    /// `data_segs_in`: number of segments with data received so far. 0 if the kernel does not count them.
    pub data_segs_in: u32,
}

/// Bits of [`Socket::flags`].
pub mod flag {
    /// `SOCK_DEAD`: the socket is an orphan, no process holds it any more.
    pub const DEAD: u32 = 1 << 0;
    /// `SOCK_DONE`: the peer's FIN was received.
    pub const DONE: u32 = 1 << 1;
    /// `SOCK_KEEPOPEN`: SO_KEEPALIVE is on.
    pub const KEEPALIVE: u32 = 1 << 3;
    /// `SOCK_LINGER`: SO_LINGER is on.
    pub const LINGER: u32 = 1 << 4;
    /// The bits above have the kernel's numbers of `sock_flag()` (`include/net/sock.h`, the same in 5.10 to 7.2).
    pub const KERNEL_MASK: u32 = DEAD | DONE | KEEPALIVE | LINGER;
    /// `sk_lock.owned`: a system call holds the socket. The event may come from its backlog.
    pub const OWNED: u32 = 1 << 16;
    /// The last reference to the file is gone: the running call is `close()`, not `shutdown()`.
    pub const CLOSING: u32 = 1 << 17;
    /// `is_mptcp`: a subflow of an MPTCP connection. Only set in [`super::ResetSent`].
    pub const MPTCP: u32 = 1 << 19;
    /// `linger2` is negative, since the application set TCP_LINGER2 to such a value. Only set in [`super::ResetSent`].
    pub const LINGER2_NEGATIVE: u32 = 1 << 20;
    /// `sk_err_soft` is set: an ICMP error came while a system call held the socket. This bit and the next ones are
    /// only set if the state was SYN_SENT or SYN_RECV.
    pub const SOFT_ERROR: u32 = 1 << 21;
    /// `segs_in` is not 0: the peer has sent at least one segment.
    pub const SEGMENT_SEEN: u32 = 1 << 22;
    /// `fastopen_rsk` is set: a TCP Fast Open child whose handshake is not complete. Also set when it sends a FIN.
    pub const FASTOPEN: u32 = 1 << 23;
    /// `shutdown()` is running: `inet_shutdown()` has set the socket to SS_DISCONNECTING.
    pub const SHUTDOWN_CALL: u32 = 1 << 24;
    /// Lowest bit of that call's argument plus one: 1 SHUT_RD, 2 SHUT_WR, 3 SHUT_RDWR, 0 unknown.
    pub const SHUTDOWN_HOW_SHIFT: u32 = 25;
    /// Mask of these two bits, after the shift.
    pub const SHUTDOWN_HOW_MASK: u32 = 3;
    /// In SYN_SENT: a timer may have given up after the last retransmitted SYN, or TCP_USER_TIMEOUT is set.
    pub const RETRIES_OUT: u32 = 1 << 27;
    /// `sk_err` is 0 and the error queue is not empty: an ICMP error waits there, and `err` is its errno.
    pub const ERROR_QUEUED: u32 = 1 << 28;
    /// A FIN that is queued now is sent at once: no data waits before it, and the peer's window has room. Only set when
    /// our side queues a FIN. (`tcp_cwnd_test()` lets a final FIN pass, `tcp_snd_wnd_test()` does not.)
    pub const FIN_LEAVES: u32 = 1 << 29;
    /// `sk_socket` is set: the socket is not an orphan, and it was accepted if it came from a listener.
    pub const HAS_SOCKET: u32 = 1 << 18;
}

/// A connection begins.
///
/// The change of state is `CLOSE → SYN_SENT` for `connect()` and `SYN_RECV → ESTABLISHED` for a completed handshake. It
/// is `LISTEN → SYN_RECV` for a new child of a listener, if TCP Fast Open is enabled for servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Opened {
    /// Common part. `has_task` is 1 for `connect()`.
    pub header: Header,
    /// Both endpoints. `connect()` may choose the local port later. The remote port of a Fast Open child is set later.
    pub endpoints: Endpoints,
    /// 1 if our side connected, 0 if the peer did.
    pub by_us: u16,
    /// 1 if the handshake is not complete: a TCP Fast Open child.
    pub early: u16,
    /// Inode of the socket's file. 0 if the peer connected.
    pub inode: u64,
    /// Process id (the kernel's tgid) in the initial pid namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group leader, NUL-padded.
    pub comm: [u8; 16],
}

/// `inet_sock_set_state`, from the first sign of a connection's end on, without a system call that is known to have
/// caused the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StateChange {
    /// Common part.
    pub header: Header,
    /// The socket just before the new state is stored.
    pub socket: Socket,
    /// State before the change (see [`tcp_state`](super::tcp_state)).
    pub old: u32,
    /// State after the change.
    pub new: u32,
}

/// A [`StateChange`] that a system call of a local process caused. The kind in its header is [`kind::ACT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Act {
    /// The change of state.
    pub change: StateChange,
    /// The process that made the call.
    pub task: Task,
}

/// `tcp_send_reset` for a socket that is or was a connection.
///
/// The queues and both endpoints are in the [`StateChange`] to CLOSE, which comes right before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ResetSent {
    /// Common part.
    pub header: Header,
    /// `enum sk_rst_reason`, or [`NO_REASON`] before 6.10.
    pub reason: u32,
    /// 1 if our side decided to reset (`tcp_send_active_reset`), 0 if a segment provoked it (`tcp_v4_send_reset`).
    pub active: u32,
    /// `sk_state`. It is already CLOSE if a process aborts.
    pub state: u32,
    /// Bits of [`flag`], without [`flag::CLOSING`].
    pub flags: u32,
}

/// Stands for a reason that the kernel does not give.
pub const NO_REASON: u32 = u32::MAX;

/// `tcp_receive_reset`: the entry of `tcp_reset()`. The [`StateChange`] to CLOSE follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ResetReceived {
    /// Common part.
    pub header: Header,
    /// State in which the reset was received.
    pub state: u32,
    /// Zero.
    pub pad: u32,
}

/// `tcp_destroy_sock` of a socket whose connection had ended before, or that never had one.
///
/// With a task, that process closed the socket. Without one, no process ever held it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Destroyed {
    /// Common part.
    pub header: Header,
    /// The closing process if [`Header::has_task`] is 1. Otherwise a task that has nothing to do with it.
    pub task: Task,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// First sequence number that the application has not read.
    pub copied_seq: u32,
    /// 1 if the peer's FIN was received. The FIN takes one sequence number.
    pub done: u32,
    /// Zero.
    pub pad: u32,
}

/// A send that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct WriteError {
    /// Common part.
    pub header: Header,
    /// The writing process.
    pub task: Task,
    /// The socket after the failure.
    pub socket: Socket,
    /// Positive errno.
    pub errno: u32,
    /// 1 if SIGPIPE was generated and not ignored.
    pub sigpipe: u32,
}

/// A reset that was sent for no live connection: for a closed port, in TIME_WAIT, or during a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StrayReset {
    /// Common part. `sock` is 0.
    pub header: Header,
    /// Both endpoints, from the TIME_WAIT socket or from the segment that provoked the reset.
    pub endpoints: Endpoints,
    /// `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason: u32,
    /// State of the socket that received the segment. 0 if there was none.
    pub state: u32,
    /// 1 if the segment asked for a connection (SYN without ACK). Always 0 in TIME_WAIT.
    pub asks: u32,
}

/// A signal was delivered to a thread after its lingering `close()`. It ended the wait if that was not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct LingerInterrupted {
    /// Common part.
    pub header: Header,
    /// Number of the signal.
    pub signal: u32,
    /// Thread that received the signal. The kernel reuses sockets, so user space compares it with the thread that
    /// closed.
    pub tid: u32,
}

/// `tcp_send_fin`: our FIN is queued. The [`StateChange`] comes right before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct FinQueued {
    /// Common part.
    pub header: Header,
    /// `sk_state`: the new state.
    pub state: u32,
    /// Zero.
    pub pad: u32,
}

/// Return of `sk_stream_wait_close`: the wait of a lingering `close()` is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct LingerOver {
    /// Common part.
    pub header: Header,
    /// `sk_state`, which shows whether our FIN is acknowledged.
    pub state: u32,
    /// Zero.
    pub pad: u32,
}

const _: () = {
    assert!(size_of::<Header>() == 24);
    assert!(size_of::<Task>() == 48);
    assert!(size_of::<Endpoints>() == 44);
    assert!(size_of::<Socket>() == 88);
    assert!(size_of::<Opened>() == 104);
    assert!(size_of::<StateChange>() == 120);
    assert!(size_of::<Act>() == 168);
    assert!(size_of::<ResetSent>() == 40);
    assert!(size_of::<ResetReceived>() == 32);
    assert!(size_of::<Destroyed>() == 88);
    assert!(size_of::<WriteError>() == 168);
    assert!(size_of::<StrayReset>() == 80);
    assert!(size_of::<LingerInterrupted>() == 32);
    assert!(size_of::<FinQueued>() == 32);
    assert!(size_of::<LingerOver>() == 32);
};
