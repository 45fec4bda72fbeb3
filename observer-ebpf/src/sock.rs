//! `struct sock` → ABI. The only file that follows kernel pointers of the network stack.

use core::ptr::addr_of_mut;

use observer_ebpf::abi::{
    offset::COMMON_BYTES,
    record::{AF_INET, AF_INET6, Endpoints, Header, Socket, flag},
};

use crate::{
    read::{Scratch, read, read_at},
    settings::{
        DEV_NET, FILE_COUNT, FILE_REF, INET_SPORT, NET_INUM, SK_DADDR, SK_DPORT, SK_ERR, SK_FAMILY, SK_FLAGS,
        SK_LINGERTIME, SK_NET, SK_NUM, SK_OWNED, SK_PROTOCOL, SK_RCV_SADDR, SK_SHUTDOWN, SK_SOCKET, SK_STATE,
        SK_V6_DADDR, SK_V6_RCV_SADDR, SKB_DEV, SKB_HEAD, SKB_NETWORK_HEADER, SKB_TRANSPORT_HEADER, SOCK_KEY,
        SOCK_WINDOW, SOCK_WINDOW_LEN, SOCKET_FILE, SOCKET_INO, TCP_WINDOW, TCP_WINDOW_LEN, TP_COPIED_SEQ,
        TP_IS_MPTCP, TP_RCV_NXT, TP_SND_NXT, TP_SND_UNA, TP_WRITE_SEQ, get, has,
    },
};

/// `IPPROTO_TCP`. MPTCP's own socket is 262 and SCTP shares the state tracepoint: neither is ours.
const IPPROTO_TCP: u16 = 6;

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

/// A `struct sock *`.
#[derive(Clone, Copy)]
pub(crate) struct Sock(pub(crate) u64);

impl Sock {
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        read::<u16>(self.0, &SK_PROTOCOL) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        u32::from(read::<u8>(self.0, &SK_STATE))
    }

    /// `sock_flag()` bits.
    #[inline(always)]
    pub(crate) fn kernel_flags(self) -> u32 {
        read::<u64>(self.0, &SK_FLAGS) as u32 & flag::KERNEL_MASK
    }

    /// Whether a system call holds the socket. Packets and timers run with the lock free, or wait in the backlog.
    #[inline(always)]
    pub(crate) fn is_owned(self) -> bool {
        read::<u32>(self.0, &SK_OWNED) != 0
    }

    /// `inet_sport`: unlike `skc_num` it survives the unhashing before a CLOSE event.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(read(self.0, &INET_SPORT))
    }

    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(read(self.0, &SK_DPORT))
    }

    /// Bits of [`flag`], but for CLOSING.
    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        let mut flags = self.kernel_flags();
        if self.is_owned() {
            flags |= flag::OWNED;
        }
        if read::<u64>(self.0, &SK_SOCKET) != 0 {
            flags |= flag::HAS_SOCKET;
        }
        if has(&TP_IS_MPTCP) && read::<u8>(self.0, &TP_IS_MPTCP) != 0 {
            flags |= flag::MPTCP;
        }
        flags
    }

    /// What records call the socket: no kernel address leaves the kernel.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        self.0 ^ get(&SOCK_KEY)
    }

    #[inline(always)]
    pub(crate) fn header(self, kind: u32, has_task: bool) -> Header {
        Header { kind, has_task: u32::from(has_task), ns: now(), sock: self.name() }
    }

    /// Both ends of a TIME_WAIT socket, which shares only the common part with others.
    #[inline(always)]
    pub(crate) fn endpoints_of_time_wait(self) -> Endpoints {
        let mut scratch = Scratch::new();
        scratch.load(self.0, COMMON_BYTES);
        endpoints(&scratch, scratch.get(get(&SK_NUM)))
    }

    /// Writes everything a record says of a full socket, and gives its flags. None, with nothing of use written,
    /// when it is not TCP's.
    ///
    /// `in_call` is false where a system call cannot be what runs, so that its marks are not looked for. Without
    /// `queues` all sequence numbers but `write_seq` are left zero: they matter when the connection is over.
    #[inline(always)]
    pub(crate) fn view(self, in_call: bool, queues: bool, to: *mut Socket) -> Option<u32> {
        let mut scratch = Scratch::new();
        scratch.load(self.0, COMMON_BYTES);
        let num: u16 = scratch.get(get(&SK_NUM));
        let local_port = if num == 0 { self.local_port() } else { num };
        // SAFETY: the caller's place is a Socket's. What is written at once need not wait on the small stack.
        unsafe {
            addr_of_mut!((*to).endpoints).write(endpoints(&scratch, local_port));
            addr_of_mut!((*to).state).write(u32::from(scratch.get::<u8>(get(&SK_STATE))));
        }
        let mut flags = scratch.get::<u64>(get(&SK_FLAGS)) as u32 & flag::KERNEL_MASK;

        let at = |field: &'static u32| get(field) - get(&SOCK_WINDOW);
        scratch.load(self.0 + u64::from(get(&SOCK_WINDOW)), get(&SOCK_WINDOW_LEN));
        if scratch.get::<u16>(at(&SK_PROTOCOL)) != IPPROTO_TCP {
            return None;
        }
        let owned = in_call && scratch.find::<u32>(self.0, &SK_OWNED, &SOCK_WINDOW, &SOCK_WINDOW_LEN) != 0;
        let socket: u64 = scratch.get(at(&SK_SOCKET));
        // SAFETY: as above.
        unsafe {
            addr_of_mut!((*to).lingertime).write(scratch.get(at(&SK_LINGERTIME)));
            addr_of_mut!((*to).shutdown).write(u32::from(scratch.get::<u8>(at(&SK_SHUTDOWN))));
            addr_of_mut!((*to).err).write(scratch.get(at(&SK_ERR)));
        }

        let mut inode = 0;
        if owned {
            flags |= flag::OWNED;
        }
        if socket != 0 {
            flags |= flag::HAS_SOCKET;
            if owned {
                let file = read::<u64>(socket, &SOCKET_FILE);
                if file != 0 && is_last_reference(file) {
                    flags |= flag::CLOSING;
                }
            }
            if flags & flag::CLOSING == 0 {
                // `struct socket` is the first member of `struct socket_alloc` (include/net/sock.h, SOCK_INODE).
                inode = read::<u64>(socket, &SOCKET_INO);
            }
        }

        // SAFETY: as above; now every field is written.
        unsafe {
            addr_of_mut!((*to).inode).write(inode);
            addr_of_mut!((*to).flags).write(flags);
            addr_of_mut!((*to).pad).write(0);
            if queues {
                let at = |field: &'static u32| get(field) - get(&TCP_WINDOW);
                scratch.load(self.0 + u64::from(get(&TCP_WINDOW)), get(&TCP_WINDOW_LEN));
                addr_of_mut!((*to).rcv_nxt).write(scratch.get(at(&TP_RCV_NXT)));
                addr_of_mut!((*to).copied_seq).write(scratch.get(at(&TP_COPIED_SEQ)));
                addr_of_mut!((*to).snd_nxt).write(scratch.get(at(&TP_SND_NXT)));
                addr_of_mut!((*to).snd_una).write(scratch.get(at(&TP_SND_UNA)));
                let write_seq = scratch.find(self.0, &TP_WRITE_SEQ, &TCP_WINDOW, &TCP_WINDOW_LEN);
                addr_of_mut!((*to).write_seq).write(write_seq);
            } else {
                addr_of_mut!((*to).rcv_nxt).write(0);
                addr_of_mut!((*to).copied_seq).write(0);
                addr_of_mut!((*to).snd_nxt).write(0);
                addr_of_mut!((*to).snd_una).write(0);
                addr_of_mut!((*to).write_seq).write(read(self.0, &TP_WRITE_SEQ));
            }
        }
        Some(flags)
    }
}

/// Both ends from a loaded `sock_common`.
#[inline(always)]
fn endpoints(common: &Scratch, local_port: u16) -> Endpoints {
    let family: u16 = common.get(get(&SK_FAMILY));
    let v6 = family == AF_INET6 && has(&SK_V6_DADDR);
    let net: u64 = common.get(get(&SK_NET));
    let (local, remote) = if v6 {
        (address(common, get(&SK_V6_RCV_SADDR)), address(common, get(&SK_V6_DADDR)))
    } else {
        (v4(common.get(get(&SK_RCV_SADDR))), v4(common.get(get(&SK_DADDR))))
    };
    Endpoints {
        local,
        remote,
        local_port,
        remote_port: u16::from_be(common.get(get(&SK_DPORT))),
        family,
        pad: 0,
        netns: read(net, &NET_INUM),
        pad2: 0,
    }
}

/// An IPv6 address, word by word: the stack is read with the alignment of what is read.
#[inline(always)]
fn address(common: &Scratch, position: u32) -> [u8; 16] {
    let words: [u64; 2] = [common.get(position), common.get(position + 8)];
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute(words) }
}

/// An IPv4 address in network byte order, in its place in a record.
#[inline(always)]
fn v4(address: u32) -> [u8; 16] {
    let words: [u32; 4] = [address, 0, 0, 0];
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute(words) }
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
    if has(&FILE_REF) {
        read::<i64>(file, &FILE_REF) < 0
    } else if has(&FILE_COUNT) {
        read::<i64>(file, &FILE_COUNT) == 0
    } else {
        false
    }
}

/// Both ends from the headers of a received segment: its destination is us. The payload is never read.
#[inline(always)]
pub(crate) fn endpoints_of_segment(skb: u64) -> Endpoints {
    let head = read::<u64>(skb, &SKB_HEAD);
    let ip = head + u64::from(read::<u16>(skb, &SKB_NETWORK_HEADER));
    let tcp = head + u64::from(read::<u16>(skb, &SKB_TRANSPORT_HEADER));
    let dev = read::<u64>(skb, &SKB_DEV);
    let netns = if dev == 0 { 0 } else { read(read::<u64>(dev, &DEV_NET), &NET_INUM) };
    // RFC 9293 section 3.1: source port, destination port. RFC 791 section 3.1 and RFC 8200 section 3: addresses.
    let v6 = read_at::<u8>(ip) >> 4 == 6;
    Endpoints {
        local: if v6 { read_at(ip + 24) } else { v4(read_at(ip + 16)) },
        remote: if v6 { read_at(ip + 8) } else { v4(read_at(ip + 12)) },
        local_port: u16::from_be(read_at(tcp + 2)),
        remote_port: u16::from_be(read_at(tcp)),
        family: if v6 { AF_INET6 } else { AF_INET },
        pad: 0,
        netns,
        pad2: 0,
    }
}
