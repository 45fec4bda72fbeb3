//! `struct sock` → ABI. The only file that follows kernel pointers of the network stack.

use core::ptr::addr_of_mut;

use observer_ebpf::abi::record::{AF_INET, AF_INET6, Endpoints, Header, Socket, flag};

use crate::{
    hooks::close,
    read::{bytes, cast, read, read_at},
    registers::shutdown_how,
    settings::{
        DEV_NET, FILE_COUNT, FILE_REF, ICSK_RETRANSMITS, ICSK_SYN_RETRIES, ICSK_USER_TIMEOUT, INET_SPORT,
        Known, NET_FASTOPEN, NET_INUM, NET_SYN_RETRIES, SK_DADDR, SK_DPORT, SK_ERR, SK_ERR_SOFT,
        SK_ERROR_QUEUE_LEN, SK_ERROR_QUEUE_NEXT, SK_FAMILY, SK_FLAGS, SK_LINGERTIME, SK_NET, SK_NUM,
        SK_OWNED, SK_PROTOCOL, SK_RCV_SADDR, SK_SHUTDOWN, SK_SOCKET, SK_STATE, SK_V6_DADDR, SK_V6_RCV_SADDR,
        SKB_CB, SKB_DEV, SKB_ERROR_ERRNO, SKB_HEAD, SKB_NETWORK_HEADER, SKB_TRANSPORT_HEADER, SOCK_KEY,
        SOCKET_FILE, SOCKET_INO, SOCKET_STATE, TP_COPIED_SEQ, TP_DATA_SEGS_IN, TP_FASTOPEN_RSK, TP_IS_MPTCP,
        TP_LINGER2, TP_RCV_NXT, TP_SEGS_IN, TP_SND_NXT, TP_SND_UNA, TP_SND_WND, TP_WRITE_SEQ, TYPE_SK_BUFF,
        TYPE_SOCKET_ALLOC, TYPE_TCP_SOCK, get, has,
    },
};

/// `IPPROTO_TCP`. MPTCP's own socket is 262 and SCTP shares the state tracepoint: neither is ours.
const IPPROTO_TCP: u16 = 6;

/// `socket_state` of a socket that `inet_shutdown()` takes down while it connects (`include/uapi/linux/net.h`).
const SS_DISCONNECTING: u32 = 4;

/// Kernel TCP states (`include/net/tcp_states.h`), the same numbers since 2.6.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u32 = 1;
    pub(crate) const SYN_SENT: u32 = 2;
    pub(crate) const SYN_RECV: u32 = 3;
    pub(crate) const FIN_WAIT1: u32 = 4;
    pub(crate) const FIN_WAIT2: u32 = 5;
    pub(crate) const TIME_WAIT: u32 = 6;
    pub(crate) const CLOSE: u32 = 7;
    pub(crate) const CLOSE_WAIT: u32 = 8;
    pub(crate) const LAST_ACK: u32 = 9;
    pub(crate) const LISTEN: u32 = 10;
    pub(crate) const NEW_SYN_RECV: u32 = 12;
}

/// What following a socket's pointers tells of it.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    /// Bits of [`flag`], but for MPTCP.
    pub(crate) flags: u32,
    /// Of its file; 0 without one.
    inode: u64,
}

/// A `struct sock *` of TCP: the common part of any kind of socket, the whole of a full one.
#[derive(Clone, Copy)]
pub(crate) struct Sock {
    /// As the kernel has it.
    address: u64,
    /// With its type, for reading.
    typed: u64,
}

impl Sock {
    #[inline(always)]
    pub(crate) fn new(address: u64) -> Self {
        Self { address, typed: cast(address, TYPE_TCP_SOCK) }
    }

    #[inline(always)]
    fn get<T: Copy>(self, member: impl Known) -> T {
        read(self.typed, member)
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        self.get::<u16>(SK_PROTOCOL) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        u32::from(self.get::<u8>(SK_STATE))
    }

    /// `sock_flag()` bits.
    #[inline(always)]
    pub(crate) fn kernel_flags(self) -> u32 {
        self.get::<u64>(SK_FLAGS) as u32 & flag::KERNEL_MASK
    }

    /// Whether a system call holds the socket. Packets and timers run with the lock free, or wait in the backlog.
    #[inline(always)]
    pub(crate) fn is_owned(self) -> bool {
        self.get::<u32>(SK_OWNED) != 0
    }

    /// Whether a file of some process is, or was, this socket's.
    #[inline(always)]
    pub(crate) fn has_socket(self) -> bool {
        self.get::<u64>(SK_SOCKET) != 0
    }

    /// Whether the file is there by which a process has the socket.
    #[inline(always)]
    pub(crate) fn has_file(self) -> bool {
        let socket: u64 = self.get(SK_SOCKET);
        socket != 0 && read::<u64>(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_FILE) != 0
    }

    /// `inet_sport`: unlike `skc_num` it survives the unhashing before a CLOSE event.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(self.get(INET_SPORT))
    }

    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(self.get(SK_DPORT))
    }

    /// Bits of [`flag`], but for CLOSING.
    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        let mut flags = self.kernel_flags();
        if self.is_owned() {
            flags |= flag::OWNED;
        }
        if self.has_socket() {
            flags |= flag::HAS_SOCKET;
        }
        if has(TP_IS_MPTCP) && self.get::<u8>(TP_IS_MPTCP) != 0 {
            flags |= flag::MPTCP;
        }
        if has(TP_LINGER2) && self.get::<i32>(TP_LINGER2) < 0 {
            flags |= flag::LINGER2_NEGATIVE;
        }
        flags
    }

    /// What records call the socket: no kernel address leaves the kernel.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        self.address ^ get(SOCK_KEY)
    }

    #[inline(always)]
    pub(crate) fn header(self, kind: u32, has_task: bool) -> Header {
        self.header_at(now(), kind, has_task)
    }

    #[inline(always)]
    pub(crate) fn header_at(self, ns: u64, kind: u32, has_task: bool) -> Header {
        Header { kind, has_task: u32::from(has_task), ns, sock: self.name() }
    }

    /// Both ends; of a TIME_WAIT socket, which shares only the common part, with `local_port` from there.
    #[inline(always)]
    pub(crate) fn endpoints(self, local_port: u16) -> Endpoints {
        let family: u16 = self.get(SK_FAMILY);
        let net: u64 = self.get(SK_NET);
        let (local, remote) = if family == AF_INET6 && has(SK_V6_DADDR) {
            (self.v6(SK_V6_RCV_SADDR), self.v6(SK_V6_DADDR))
        } else {
            (v4(self.get(SK_RCV_SADDR)), v4(self.get(SK_DADDR)))
        };
        Endpoints {
            local,
            remote,
            local_port,
            remote_port: self.remote_port(),
            netns: read(net, NET_INUM),
            family,
            pad: 0,
        }
    }

    /// `skc_num`: of every kind of socket, but cleared when one unhashes.
    #[inline(always)]
    pub(crate) fn num(self) -> u16 {
        self.get(SK_NUM)
    }

    #[inline(always)]
    fn v6(self, address: impl Known) -> [u8; 16] {
        bytes(self.get(address))
    }

    /// What a record says of a full socket that takes following pointers.
    ///
    /// `in_call` is false where a system call cannot be what runs, so that its marks are not looked for.
    #[inline(always)]
    pub(crate) fn marks(self, in_call: bool) -> Marks {
        let mut flags = self.kernel_flags();
        let mut inode = 0;
        let owned = in_call && self.is_owned();
        if owned {
            flags |= flag::OWNED;
        }
        let socket: u64 = self.get(SK_SOCKET);
        if socket != 0 {
            flags |= flag::HAS_SOCKET;
            let socket = cast(socket, TYPE_SOCKET_ALLOC);
            if owned {
                // `struct socket` is the first member of `struct socket_alloc` (include/net/sock.h, SOCK_INODE).
                let file: u64 = read(socket, SOCKET_FILE);
                if if file == 0 { close::is_closing(self) } else { is_last_reference(file) } {
                    flags |= flag::CLOSING;
                }
            }
            inode = read(socket, SOCKET_INO);
        }
        Marks { flags, inode }
    }

    /// Whether a FIN that is queued now leaves at once (see [`flag::FIN_LEAVES`]).
    #[inline(always)]
    pub(crate) fn fin_leaves(self) -> bool {
        let next: u32 = self.get(TP_SND_NXT);
        let in_flight = next.wrapping_sub(self.get(TP_SND_UNA));
        next == self.get::<u32>(TP_WRITE_SEQ) && in_flight < self.get::<u32>(TP_SND_WND)
    }

    /// Adds what a record says of a handshake that is not complete.
    ///
    /// The last that is written: each condition doubles the ways that the verifier follows through what comes after.
    ///
    /// # Safety
    /// `to` must be valid, and written by [`Self::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_handshake(self, to: *mut Socket) {
        let flags = self.handshake_flags();
        // SAFETY: the caller's promise.
        unsafe {
            (*to).flags |= flags;
            let queued = self.queued_error();
            if queued != 0 {
                (*to).err = queued as u16;
                (*to).flags |= flag::ERROR_QUEUED;
            }
        }
    }

    /// Bits of [`flag`] that no other record has.
    #[inline(always)]
    fn handshake_flags(self) -> u32 {
        let mut flags = 0;
        if has(SK_ERR_SOFT) && self.get::<u32>(SK_ERR_SOFT) != 0 {
            flags |= flag::SOFT_ERROR;
        }
        if self.is_out_of_retries() {
            flags |= flag::RETRIES_OUT;
        }
        if has(TP_SEGS_IN) && self.get::<u32>(TP_SEGS_IN) != 0 {
            flags |= flag::SEGMENT_SEEN;
        }
        if has(TP_FASTOPEN_RSK) && self.get::<u64>(TP_FASTOPEN_RSK) != 0 {
            flags |= flag::FASTOPEN;
        }
        if has(SOCKET_STATE) {
            let socket: u64 = self.get(SK_SOCKET);
            if socket != 0 && read::<u32>(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_STATE) == SS_DISCONNECTING {
                flags |= flag::SHUTDOWN_CALL | shutdown_how() << flag::SHUTDOWN_HOW_SHIFT;
            }
        }
        flags
    }

    /// Whether `tcp_write_timeout()` can have given up on the SYN; true where that is not to be known.
    #[inline(always)]
    fn is_out_of_retries(self) -> bool {
        if !(has(ICSK_RETRANSMITS) && has(ICSK_SYN_RETRIES) && has(ICSK_USER_TIMEOUT) && has(NET_SYN_RETRIES))
        {
            return true;
        }
        if self.get::<u32>(ICSK_USER_TIMEOUT) != 0 {
            return true;
        }
        let own: u8 = self.get(ICSK_SYN_RETRIES);
        // An int before 5.19 and a byte since: the numbers fit in the byte, which comes first on little-endian machines.
        let limit = if own == 0 { read(self.get(SK_NET), NET_SYN_RETRIES) } else { own };
        self.get::<u8>(ICSK_RETRANSMITS) >= limit
    }

    /// The errno of the ICMP error that waits in the error queue, where `sk_err` is not set; else 0.
    ///
    /// `tcp_v4_err()` queues it for a socket that a system call holds (since 5.17), and poll(2) reports that.
    #[inline(always)]
    fn queued_error(self) -> u32 {
        if !(has(SK_ERROR_QUEUE_LEN) && has(SK_ERROR_QUEUE_NEXT) && has(SKB_CB) && has(SKB_ERROR_ERRNO))
            || self.err() != 0
            || self.get::<u32>(SK_ERROR_QUEUE_LEN) == 0
        {
            return 0;
        }
        let error: u64 = self.get(SK_ERROR_QUEUE_NEXT);
        read_at(error + get(SKB_CB) + get(SKB_ERROR_ERRNO))
    }

    /// Whether listeners in this namespace may take data with the SYN (`net.ipv4.tcp_fastopen`, TFO_SERVER_ENABLE).
    #[inline(always)]
    pub(crate) fn may_take_fastopen(self) -> bool {
        // An int before 5.19 and a byte since; the bit is in the byte that comes first on little-endian machines.
        has(NET_FASTOPEN) && read::<u8>(self.get(SK_NET), NET_FASTOPEN) & 2 != 0
    }

    /// Inode of the socket's file; 0 without one.
    #[inline(always)]
    pub(crate) fn inode(self) -> u64 {
        let socket: u64 = self.get(SK_SOCKET);
        if socket == 0 { 0 } else { read(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_INO) }
    }

    /// Writes everything a record says of a full socket.
    ///
    /// # Safety
    /// `to` must be valid for a write.
    #[inline(always)]
    pub(crate) unsafe fn write(self, marks: Marks, to: *mut Socket) {
        let lingertime: u64 = self.get(SK_LINGERTIME);
        // SAFETY: the caller's promise; every field is written.
        unsafe {
            addr_of_mut!((*to).endpoints).write(self.endpoints(self.local_port()));
            addr_of_mut!((*to).rcv_nxt).write(self.get(TP_RCV_NXT));
            addr_of_mut!((*to).copied_seq).write(self.get(TP_COPIED_SEQ));
            addr_of_mut!((*to).write_seq).write(self.get(TP_WRITE_SEQ));
            addr_of_mut!((*to).snd_nxt).write(self.get(TP_SND_NXT));
            addr_of_mut!((*to).snd_una).write(self.get(TP_SND_UNA));
            addr_of_mut!((*to).inode).write(marks.inode);
            let longest = u64::from(u32::MAX);
            addr_of_mut!((*to).lingertime)
                .write(if lingertime < longest { lingertime } else { longest } as u32);
            addr_of_mut!((*to).flags).write(marks.flags);
            addr_of_mut!((*to).err).write(self.err() as u16);
            addr_of_mut!((*to).state).write(self.get(SK_STATE));
            addr_of_mut!((*to).shutdown).write(self.get(SK_SHUTDOWN));
            let data_segs_in = if has(TP_DATA_SEGS_IN) { self.get(TP_DATA_SEGS_IN) } else { 0 };
            addr_of_mut!((*to).data_segs_in).write(data_segs_in);
        }
    }

    /// `sk_err`.
    #[inline(always)]
    pub(crate) fn err(self) -> u32 {
        self.get(SK_ERR)
    }

    /// What tells an ended connection from every other that a thread may have: the inode of its socket's file, and its last
    /// sequence number, which a new connection of the same socket does not begin with.
    #[inline(always)]
    pub(crate) fn dead_name(self) -> u64 {
        let socket: u64 = self.get(SK_SOCKET);
        let inode: u64 = if socket == 0 { 0 } else { read(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_INO) };
        inode << 32 | u64::from(self.get::<u32>(TP_WRITE_SEQ))
    }

    /// `rcv_nxt` and `copied_seq`.
    #[inline(always)]
    pub(crate) fn receive_queue(self) -> (u32, u32) {
        (self.get(TP_RCV_NXT), self.get(TP_COPIED_SEQ))
    }

    /// IPv4 or IPv6, whatever the protocol.
    #[inline(always)]
    pub(crate) fn is_internet(self) -> bool {
        let family: u16 = self.get(SK_FAMILY);
        family == AF_INET || family == AF_INET6
    }

    /// Inode of the network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        read(self.get(SK_NET), NET_INUM)
    }
}

/// An IPv4 address in network byte order, in its place in a record.
#[inline(always)]
fn v4(address: u32) -> [u8; 16] {
    bytes([address, 0, 0, 0])
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { aya_ebpf::helpers::bpf_ktime_get_ns() }
}

/// Whether `__fput` runs for this file: `sock_close` is called with the reference count already at its end.
///
/// Up to 6.12 `f_count` is then 0; since 6.13 `f_ref.refcnt` is in its dead zone, the negative numbers
/// (`include/linux/file_ref.h`), while one reference is 0.
#[inline(always)]
fn is_last_reference(file: u64) -> bool {
    if has(FILE_REF) {
        read::<i64>(file, FILE_REF) < 0
    } else if has(FILE_COUNT) {
        read::<i64>(file, FILE_COUNT) == 0
    } else {
        false
    }
}

/// Whether a received segment is a reset itself.
#[inline(always)]
pub(crate) fn is_reset(skb: u64) -> bool {
    control_bits(skb) & RST != 0
}

/// Whether a received segment is the first of a handshake.
#[inline(always)]
pub(crate) fn asks_for_connection(skb: u64) -> bool {
    control_bits(skb) & (SYN | ACK) == SYN
}

const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

#[inline(always)]
fn control_bits(skb: u64) -> u8 {
    let skb = cast(skb, TYPE_SK_BUFF);
    let tcp = read::<u64>(skb, SKB_HEAD) + u64::from(read::<u16>(skb, SKB_TRANSPORT_HEADER));
    // RFC 9293 section 3.1: the control bits are the 14th byte.
    read_at(tcp + 13)
}

/// Both ends from the headers of a received segment: its destination is us. The payload is never read.
///
/// `listener` is the socket that the segment found, where there is one: `tcp_v4_rcv` has taken the segment from its
/// device by then.
#[inline(always)]
pub(crate) fn endpoints_of_segment(skb: u64, listener: Option<Sock>) -> Endpoints {
    let skb = cast(skb, TYPE_SK_BUFF);
    let head: u64 = read(skb, SKB_HEAD);
    let ip = head + u64::from(read::<u16>(skb, SKB_NETWORK_HEADER));
    let tcp = head + u64::from(read::<u16>(skb, SKB_TRANSPORT_HEADER));
    let netns = if let Some(listener) = listener {
        listener.netns()
    } else {
        let dev: u64 = read(skb, SKB_DEV);
        if dev == 0 { 0 } else { read(read(dev, DEV_NET), NET_INUM) }
    };
    // RFC 9293 section 3.1: source port, destination port. RFC 791 section 3.1 and RFC 8200 section 3: addresses.
    let v6 = read_at::<u8>(ip) >> 4 == 6;
    Endpoints {
        local: if v6 { read_at(ip + 24) } else { v4(read_at(ip + 16)) },
        remote: if v6 { read_at(ip + 8) } else { v4(read_at(ip + 12)) },
        local_port: u16::from_be(read_at(tcp + 2)),
        remote_port: u16::from_be(read_at(tcp)),
        netns,
        family: if v6 { AF_INET6 } else { AF_INET },
        pad: 0,
    }
}
