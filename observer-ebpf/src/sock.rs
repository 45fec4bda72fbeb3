//! `struct sock`, in ABI form: the fields of a record that every socket has.

use core::ptr::addr_of_mut;

use observer_ebpf::abi::record::{AF_INET, AF_INET6, Endpoints, Header, Socket, flag};

use crate::{
    fileless_close,
    read::{bytes, cast, read},
    settings::{
        FILE_COUNT, FILE_REF, INET_SPORT, LoadTimeConstant, NET_INUM, SK_DADDR, SK_DPORT, SK_ERR, SK_FAMILY,
        SK_FLAGS, SK_LINGERTIME, SK_NET, SK_NUM, SK_OWNED, SK_PROTOCOL, SK_RCV_SADDR, SK_SHUTDOWN, SK_SOCKET,
        SK_STATE, SK_V6_DADDR, SK_V6_RCV_SADDR, SOCK_KEY, SOCKET_FILE, SOCKET_INO, TP_COPIED_SEQ,
        TP_DATA_SEGS_IN, TP_IS_MPTCP, TP_LINGER2, TP_RCV_NXT, TP_SND_NXT, TP_SND_UNA, TP_SND_WND,
        TP_WRITE_SEQ, TYPE_SOCKET_ALLOC, TYPE_TCP_SOCK, get, has,
    },
};

/// `IPPROTO_TCP`. MPTCP's own sockets have 262, and SCTP shares the state tracepoint. The observer reports neither.
const IPPROTO_TCP: u16 = 6;

/// The fields of a record that need more than one pointer to be followed.
#[derive(Clone, Copy)]
pub(crate) struct FlagsAndInode {
    /// Bits of [`flag`], without MPTCP and LINGER2_NEGATIVE.
    pub(crate) flags: u32,
    /// Inode of the socket's file. 0 without a file.
    inode: u64,
}

/// A `struct sock *` of TCP. Every kind of socket has the common part, and a full socket has all fields.
#[derive(Clone, Copy)]
pub(crate) struct Sock {
    /// The kernel's pointer.
    address: u64,
    /// The same pointer with its BTF type, for reading.
    typed: u64,
}

impl Sock {
    #[inline(always)]
    pub(crate) fn new(address: u64) -> Self {
        Self { address, typed: cast(address, TYPE_TCP_SOCK) }
    }

    #[inline(always)]
    pub(crate) fn get<T: Copy>(self, member: impl LoadTimeConstant) -> T {
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

    /// The `sock_flag()` bits that records have.
    #[inline(always)]
    pub(crate) fn kernel_flags(self) -> u32 {
        self.get::<u64>(SK_FLAGS) as u32 & flag::KERNEL_MASK
    }

    /// Whether a system call holds the socket. Packets and timers run only while it is free, or wait in the backlog.
    #[inline(always)]
    pub(crate) fn is_owned(self) -> bool {
        self.get::<u32>(SK_OWNED) != 0
    }

    /// Whether the socket is not orphaned, and was accepted if it came from a listener (`sk_socket` is set).
    #[inline(always)]
    pub(crate) fn has_socket(self) -> bool {
        self.get::<u64>(SK_SOCKET) != 0
    }

    /// Whether the socket has a file, through which a process holds it.
    #[inline(always)]
    pub(crate) fn has_file(self) -> bool {
        let socket: u64 = self.get(SK_SOCKET);
        socket != 0 && read::<u64>(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_FILE) != 0
    }

    /// `inet_sport`, in host byte order. Unlike `skc_num` it is still set when the socket is unhashed before CLOSE.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(self.get(INET_SPORT))
    }

    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(self.get(SK_DPORT))
    }

    /// The bits of [`flag`] that `ResetSent` has: all but CLOSING.
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

    /// The socket's id in records. It is masked, so that no kernel address leaves the kernel.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        self.address ^ get(SOCK_KEY)
    }

    #[inline(always)]
    pub(crate) fn header(self, kind: u32, has_task: bool) -> Header {
        self.header_at(now(), kind, has_task)
    }

    #[inline(always)]
    pub(crate) fn header_at(self, ns: u64, kind: u32, has_task: bool) -> Header {
        Header { kind, has_task: u32::from(has_task), ns, sock: self.id() }
    }

    /// Both endpoints. A TIME_WAIT socket has only the common part, so the caller passes the local port (`skc_num`).
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

    /// `skc_num`, the local port. Every kind of socket has it, but unhashing clears it.
    #[inline(always)]
    pub(crate) fn num(self) -> u16 {
        self.get(SK_NUM)
    }

    #[inline(always)]
    fn v6(self, address: impl LoadTimeConstant) -> [u8; 16] {
        bytes(self.get(address))
    }

    /// Reads the flags and the inode of a full socket.
    ///
    /// With `in_call` false, the flags OWNED and CLOSING are left out: the caller does not need to know whether a
    /// system call runs.
    #[inline(always)]
    pub(crate) fn flags_and_inode(self, in_call: bool) -> FlagsAndInode {
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
                if if file == 0 { self.is_fileless_close() } else { is_last_reference(file) } {
                    flags |= flag::CLOSING;
                }
            }
            inode = read(socket, SOCKET_INO);
        }
        FlagsAndInode { flags, inode }
    }

    /// Whether the current thread is closing this socket, which has no file.
    #[inline(always)]
    fn is_fileless_close(self) -> bool {
        fileless_close::current() == Some(self.id())
    }

    /// Whether a FIN that is queued now is sent at once (see [`flag::FIN_LEAVES`]).
    #[inline(always)]
    pub(crate) fn fin_leaves(self) -> bool {
        let next: u32 = self.get(TP_SND_NXT);
        let in_flight = next.wrapping_sub(self.get(TP_SND_UNA));
        next == self.get::<u32>(TP_WRITE_SEQ) && in_flight < self.get::<u32>(TP_SND_WND)
    }

    /// Inode of the socket's file. 0 without a file.
    #[inline(always)]
    pub(crate) fn inode(self) -> u64 {
        let socket: u64 = self.get(SK_SOCKET);
        if socket == 0 { 0 } else { read(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_INO) }
    }

    /// Writes every field of a full socket into a record.
    ///
    /// # Safety
    /// `to` must be valid for a write.
    #[inline(always)]
    pub(crate) unsafe fn write(self, details: FlagsAndInode, to: *mut Socket) {
        let lingertime: u64 = self.get(SK_LINGERTIME);
        // SAFETY: the caller promises a valid `to`, and every field is written.
        unsafe {
            addr_of_mut!((*to).endpoints).write(self.endpoints(self.local_port()));
            addr_of_mut!((*to).rcv_nxt).write(self.get(TP_RCV_NXT));
            addr_of_mut!((*to).copied_seq).write(self.get(TP_COPIED_SEQ));
            addr_of_mut!((*to).write_seq).write(self.get(TP_WRITE_SEQ));
            addr_of_mut!((*to).snd_nxt).write(self.get(TP_SND_NXT));
            addr_of_mut!((*to).snd_una).write(self.get(TP_SND_UNA));
            addr_of_mut!((*to).inode).write(details.inode);
            let longest = u64::from(u32::MAX);
            addr_of_mut!((*to).lingertime)
                .write(if lingertime < longest { lingertime } else { longest } as u32);
            addr_of_mut!((*to).flags).write(details.flags);
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

    /// Distinguishes an ended connection from every other one of the same thread.
    ///
    /// It combines the inode of the socket's file with the connection's last sequence number. A new connection of the
    /// same socket does not start with that number.
    #[inline(always)]
    pub(crate) fn ended_connection_id(self) -> u64 {
        self.inode() << 32 | u64::from(self.get::<u32>(TP_WRITE_SEQ))
    }

    /// `rcv_nxt` and `copied_seq`.
    #[inline(always)]
    pub(crate) fn receive_queue(self) -> (u32, u32) {
        (self.get(TP_RCV_NXT), self.get(TP_COPIED_SEQ))
    }

    /// Whether the family is IPv4 or IPv6, whatever the protocol.
    #[inline(always)]
    pub(crate) fn is_internet(self) -> bool {
        let family: u16 = self.get(SK_FAMILY);
        family == AF_INET || family == AF_INET6
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        read(self.get(SK_NET), NET_INUM)
    }
}

/// An IPv4 address (network byte order) in the 16 bytes of an address in a record.
#[inline(always)]
pub(crate) fn v4(address: u32) -> [u8; 16] {
    bytes([address, 0, 0, 0])
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { aya_ebpf::helpers::bpf_ktime_get_ns() }
}

/// Whether `__fput` runs for this file: the last reference is gone when it calls `sock_close`.
///
/// Up to 6.12 `f_count` is 0 then. Since 6.13 `f_ref.refcnt` is negative then, which is its dead zone
/// (`include/linux/file_ref.h`). There, 0 stands for one reference.
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
