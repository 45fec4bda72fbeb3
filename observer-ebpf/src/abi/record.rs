//! The records, one `#[repr(C)]` struct a kind.

/// Kind numbers, the first field of every record.
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

/// What every record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u32,
    /// 1 where the record has a [`Task`], 0 where the hook did not run for a process.
    pub has_task: u32,
    /// `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The socket, unique while it lives; reused by the kernel afterwards. 0 where there is none.
    pub sock: u64,
}

/// The process whose system call brought the event about, where there is one (see `Header::has_task`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// `task_struct.exit_code`; its low seven bits are the fatal signal once the task exits.
    pub exit_code: u32,
    /// Zero.
    pub pad: u32,
    /// Id of the cgroup v2 the thread is in.
    pub cgroup: u64,
    /// Name of the thread group leader, NUL-padded.
    pub comm: [u8; 16],
}

/// The task is exiting (`include/linux/sched.h`; the value is the same in 5.10 to 7.2).
pub const PF_EXITING: u32 = 0x4;
/// The task is a kernel thread (`include/linux/sched.h`; the value is the same in 5.10 to 7.2).
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoints {
    /// Our address.
    pub local: [u8; 16],
    /// Their address.
    pub remote: [u8; 16],
    /// Our port.
    pub local_port: u16,
    /// Their port.
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

/// A TCP socket at the moment of a hook.
///
/// Half of all records are little else, and what they take of the ring buffer decides how many fit: fields are as
/// narrow as their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Socket {
    /// Who talks to whom.
    pub endpoints: Endpoints,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// First sequence number the application has not read.
    pub copied_seq: u32,
    /// Sequence number after the last byte the application wrote.
    pub write_seq: u32,
    /// Next sequence number to be sent.
    pub snd_nxt: u32,
    /// First sequence number the peer has not acknowledged.
    pub snd_una: u32,
    /// Inode of the socket's file; 0 once orphaned, and before accept().
    pub inode: u64,
    /// `sk_lingertime`, jiffies; the largest number where it is longer (49 days and more).
    pub lingertime: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// `sk_err`, a positive errno or 0.
    pub err: u16,
    /// `sk_state` as stored at the hook.
    pub state: u8,
    /// `sk_shutdown`: 1 receive, 2 send.
    pub shutdown: u8,
    /// `data_segs_in`: segments with data that came so far; 0 where the kernel does not count them.
    pub data_segs_in: u32,
}

/// Bits of [`Socket::flags`].
pub mod flag {
    /// `SOCK_DEAD`: orphaned, no process has it any more.
    pub const DEAD: u32 = 1 << 0;
    /// `SOCK_DONE`: the peer's FIN was received.
    pub const DONE: u32 = 1 << 1;
    /// `SOCK_KEEPOPEN`: SO_KEEPALIVE is on.
    pub const KEEPALIVE: u32 = 1 << 3;
    /// `SOCK_LINGER`: SO_LINGER is on.
    pub const LINGER: u32 = 1 << 4;
    /// The bits above are `sock_flag()` bit numbers, the same in 5.10 to 7.2 (`include/net/sock.h`).
    pub const KERNEL_MASK: u32 = DEAD | DONE | KEEPALIVE | LINGER;
    /// A system call (or its backlog) holds the socket: `sk_lock.owned`.
    pub const OWNED: u32 = 1 << 16;
    /// The last reference to the file is gone: this is `close()`, not `shutdown()`.
    pub const CLOSING: u32 = 1 << 17;
    /// `is_mptcp`: a subflow of an MPTCP connection. Only looked at in [`super::ResetSent`].
    pub const MPTCP: u32 = 1 << 19;
    /// `linger2` is below zero: the application set TCP_LINGER2 so. Only looked at in [`super::ResetSent`].
    pub const LINGER2_NEGATIVE: u32 = 1 << 20;
    /// `sk_err_soft` is set: an ICMP error came while a system call held the socket. This bit and the next ones are
    /// only looked at when a connection ends during its handshake (SYN_SENT or SYN_RECV to CLOSE).
    pub const SOFT_ERROR: u32 = 1 << 21;
    /// `segs_in` is not 0: the peer has sent at least one segment.
    pub const SEGMENT_SEEN: u32 = 1 << 22;
    /// `fastopen_rsk` is set: a TCP Fast Open child whose handshake is not complete. Also looked at when it sends a FIN.
    pub const FASTOPEN: u32 = 1 << 23;
    /// `shutdown()` runs: `inet_shutdown()` has set the socket to SS_DISCONNECTING.
    pub const SHUTDOWN_CALL: u32 = 1 << 24;
    /// Lowest bit of the argument of that `shutdown()`, plus one (1 SHUT_RD, 2 SHUT_WR, 3 SHUT_RDWR); 0 when unknown.
    pub const SHUTDOWN_HOW_SHIFT: u32 = 25;
    /// Two bits.
    pub const SHUTDOWN_HOW_MASK: u32 = 3;
    /// SYN_SENT: so many SYNs were retransmitted that a timer may have given up, or TCP_USER_TIMEOUT is set.
    pub const RETRIES_OUT: u32 = 1 << 27;
    /// `sk_err` is 0 and the error queue is not empty: an ICMP error waits there, and `err` is its errno.
    pub const ERROR_QUEUED: u32 = 1 << 28;
    /// A FIN that is queued now leaves at once: nothing waits before it, and the peer's window takes it. Only looked at
    /// when our side queues one. (`tcp_cwnd_test()` lets a final FIN pass, `tcp_snd_wnd_test()` does not.)
    pub const FIN_LEAVES: u32 = 1 << 29;
    /// `sk_socket` is set: the socket is not orphaned, and was accepted if it came from a listener.
    pub const HAS_SOCKET: u32 = 1 << 18;
}

/// A connection begins: `connect()` (`CLOSE → SYN_SENT`), a completed handshake (`SYN_RECV → ESTABLISHED`), or a new
/// child of a listener (`LISTEN → SYN_RECV`) where TCP Fast Open is enabled for servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Opened {
    /// Common part. It has a task where `connect()` was called.
    pub header: Header,
    /// Both ends. `connect()` may choose the local port later; the remote port of a Fast Open child comes later.
    pub endpoints: Endpoints,
    /// 1 we connected, 0 the peer did.
    pub by_us: u16,
    /// 1 when the handshake goes on: a TCP Fast Open child.
    pub early: u16,
    /// Inode of the socket's file; 0 when the peer connected.
    pub inode: u64,
    /// Process id (the kernel's tgid) in the initial pid namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the thread group leader, NUL-padded.
    pub comm: [u8; 16],
}

/// `inet_sock_set_state`, from the first sign of an end on, where no call of ours is known to be behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct StateChange {
    /// Common part.
    pub header: Header,
    /// The socket just before the new state is stored.
    pub socket: Socket,
    /// State before.
    pub old: u32,
    /// State after.
    pub new: u32,
}

/// A [`StateChange`] that a call of ours brought about; its header's kind is [`kind::ACT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Act {
    /// What it changed.
    pub change: StateChange,
    /// Whose call it was.
    pub task: Task,
}

/// `tcp_send_reset` for a socket that is or was a connection.
///
/// The queues and both ends are in the [`StateChange`] to CLOSE, which is next to it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct ResetSent {
    /// Common part.
    pub header: Header,
    /// `enum sk_rst_reason`, or [`NO_REASON`] before 6.10.
    pub reason: u32,
    /// 1 when our side decided (`tcp_send_active_reset`), 0 when a segment provoked it (`tcp_v4_send_reset`).
    pub active: u32,
    /// `sk_state`: CLOSE already where a process aborts.
    pub state: u32,
    /// Bits of [`flag`], but for [`flag::CLOSING`].
    pub flags: u32,
}

/// The kernel gives no reason.
pub const NO_REASON: u32 = u32::MAX;

/// `tcp_receive_reset`: entry of `tcp_reset()`. The [`StateChange`] to CLOSE follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct ResetReceived {
    /// Common part.
    pub header: Header,
    /// State in which the reset came.
    pub state: u32,
    /// Zero.
    pub pad: u32,
}

/// `tcp_destroy_sock` of a connection which had ended before (or that never was one): in the process that closed it, or,
/// without a task, where nobody ever had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Destroyed {
    /// Common part.
    pub header: Header,
    /// The closing process, if [`Header::has_task`]; else whoever ran.
    pub task: Task,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// First sequence number the application has not read.
    pub copied_seq: u32,
    /// 1 when the peer's FIN was received, which takes a number of its own.
    pub done: u32,
    /// Zero.
    pub pad: u32,
}

/// A send that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// 1 when SIGPIPE was generated.
    pub sigpipe: u32,
}

/// A reset sent for no live connection: closed port, TIME_WAIT or a request not yet accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct StrayReset {
    /// Common part; `sock` is 0.
    pub header: Header,
    /// From the TIME_WAIT socket, or from the segment that provoked the reset.
    pub endpoints: Endpoints,
    /// `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason: u32,
    /// State of the socket that was found; 0 when none was.
    pub state: u32,
    /// 1 when the segment asked for a connection (SYN and no ACK). Only looked at where no full socket was found.
    pub asks: u32,
}

/// A signal ended the wait of a lingering `close()`, if it was still waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct LingerInterrupted {
    /// Common part.
    pub header: Header,
    /// The signal.
    pub signal: u32,
    /// The thread it was delivered to: the kernel uses sockets again, and what is known of this one may be of another
    /// thread's.
    pub tid: u32,
}

/// `tcp_send_fin`: our FIN is queued. The [`StateChange`] comes right before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FinQueued {
    /// Common part.
    pub header: Header,
    /// `sk_state`: the new one.
    pub state: u32,
    /// Zero.
    pub pad: u32,
}

/// Return of `sk_stream_wait_close`: the wait of a lingering `close()` is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct LingerOver {
    /// Common part.
    pub header: Header,
    /// `sk_state`: whether our FIN is acknowledged.
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
