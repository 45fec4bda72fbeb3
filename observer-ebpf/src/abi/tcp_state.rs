//! Numbers of the TCP states (RFC 9293 section 3.3.2), as the kernel has them in `sk_state`.
//!
//! This is the only place that writes them down: the BPF programs match on them, and user space decodes records by
//! them. They are constants because they are part of the kernel's interface to BPF programs: `BPF_TCP_ESTABLISHED` and
//! the others in `include/uapi/linux/bpf.h`. The kernel does not build if `sk_state` has other numbers
//! (`tcp_set_state()`).

/// The connection is open.
pub const ESTABLISHED: u32 = 1;
/// `connect()` has sent a SYN.
pub const SYN_SENT: u32 = 2;
/// The SYN of the peer came and was answered.
pub const SYN_RECV: u32 = 3;
/// Our FIN is sent or queued, and the peer has not acknowledged it.
pub const FIN_WAIT1: u32 = 4;
/// The peer has acknowledged our FIN and has not sent its own.
pub const FIN_WAIT2: u32 = 5;
/// Both sides have closed, and the kernel waits for late segments.
pub const TIME_WAIT: u32 = 6;
/// No connection.
pub const CLOSE: u32 = 7;
/// The peer has sent its FIN, and we have not closed.
pub const CLOSE_WAIT: u32 = 8;
/// We closed after the peer, and it has not acknowledged our FIN.
pub const LAST_ACK: u32 = 9;
/// Waits for connections.
pub const LISTEN: u32 = 10;
/// Both sides have sent a FIN, and the peer has not acknowledged ours.
pub const CLOSING: u32 = 11;
/// A connection request of a listener, which is not yet a full socket.
pub const NEW_SYN_RECV: u32 = 12;
