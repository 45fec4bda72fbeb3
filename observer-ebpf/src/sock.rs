//! `struct sock` → ABI. The only file that follows kernel pointers of the network stack.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel};
use observer_ebpf::abi::{
    counter,
    record::{AF_INET, AF_INET6, Endpoints, Header, Socket, Task, flag},
};

use crate::{
    maps::count,
    settings::{
        DEV_NET, FILE_COUNT, FILE_REF, INET_SPORT, NET_INUM, SK_DADDR, SK_DPORT, SK_ERR, SK_FAMILY, SK_FLAGS,
        SK_LINGERTIME, SK_NET, SK_NUM, SK_OWNED, SK_PROTOCOL, SK_RCV_SADDR, SK_SHUTDOWN, SK_SOCKET, SK_STATE,
        SK_V6_DADDR, SK_V6_RCV_SADDR, SKB_DEV, SKB_HEAD, SKB_NETWORK_HEADER, SKB_TRANSPORT_HEADER, SOCK_KEY,
        SOCKET_FILE, SOCKET_INO, TP_COPIED_SEQ, TP_RCV_NXT, TP_SND_NXT, TP_SND_UNA, TP_WRITE_SEQ, get, has,
    },
    task,
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
    pub(crate) const LISTEN: u32 = 10;
    pub(crate) const NEW_SYN_RECV: u32 = 12;
}

/// Reads the field at `base + offset`; a fault gives zeros and is counted.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: u64, offset: &'static u32) -> T {
    read_at(base.wrapping_add(u64::from(get(offset))))
}

#[inline(always)]
fn read_at<T: Copy>(address: u64) -> T {
    // SAFETY: bpf_probe_read_kernel checks the address itself and fails on a bad one.
    match unsafe { bpf_probe_read_kernel(address as *const T) } {
        Ok(value) => value,
        Err(_) => {
            count(counter::READ_FAULT);
            // SAFETY: only integers and arrays of them are read, for which zero is a value.
            unsafe { core::mem::zeroed() }
        }
    }
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
    pub(crate) fn is_dead(self) -> bool {
        read::<u64>(self.0, &SK_FLAGS) as u32 & flag::DEAD != 0
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        u32::from(read::<u8>(self.0, &SK_STATE))
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

    #[inline(always)]
    pub(crate) fn header(self, kind: u32, has_task: bool) -> Header {
        Header { kind, has_task: u32::from(has_task), ns: now(), sock: self.0 ^ get(&SOCK_KEY) }
    }

    /// Header and lock holder. `current` is only looked at where it holds the socket.
    #[inline(always)]
    pub(crate) fn seen_by_holder(self, kind: u32) -> (Header, Task) {
        let owned = self.is_owned();
        let task = if owned { task::current() } else { task::NONE };
        (self.header(kind, owned), task)
    }

    /// Both ends, also of a TIME_WAIT socket (not `full`), which shares only the common part.
    #[inline(always)]
    pub(crate) fn endpoints(self, full: bool) -> Endpoints {
        let family = read::<u16>(self.0, &SK_FAMILY);
        let net = read::<u64>(self.0, &SK_NET);
        let mut ends = Endpoints {
            local: [0; 16],
            remote: [0; 16],
            local_port: if full { self.local_port() } else { read(self.0, &SK_NUM) },
            remote_port: self.remote_port(),
            family,
            pad: 0,
            netns: read(net, &NET_INUM),
            pad2: 0,
        };
        if family == AF_INET6 && has(&SK_V6_DADDR) {
            ends.local = read(self.0, &SK_V6_RCV_SADDR);
            ends.remote = read(self.0, &SK_V6_DADDR);
        } else {
            ends.local = padded(read(self.0, &SK_RCV_SADDR));
            ends.remote = padded(read(self.0, &SK_DADDR));
        }
        ends
    }

    /// Everything a record says of a full socket.
    #[inline(always)]
    pub(crate) fn view(self) -> Socket {
        let socket = read::<u64>(self.0, &SK_SOCKET);
        let mut flags = read::<u64>(self.0, &SK_FLAGS) as u32 & flag::KERNEL_MASK;
        if self.is_owned() {
            flags |= flag::OWNED;
        }
        let mut inode = 0;
        if socket != 0 {
            flags |= flag::HAS_SOCKET;
            // `struct socket` is the first member of `struct socket_alloc` (include/net/sock.h, SOCK_INODE).
            inode = read::<u64>(socket, &SOCKET_INO);
            let file = read::<u64>(socket, &SOCKET_FILE);
            if file != 0 && is_last_reference(file) {
                flags |= flag::CLOSING;
            }
        }
        Socket {
            endpoints: self.endpoints(true),
            inode,
            lingertime: read(self.0, &SK_LINGERTIME),
            shutdown: u32::from(read::<u8>(self.0, &SK_SHUTDOWN)),
            flags,
            err: read(self.0, &SK_ERR),
            state: self.state(),
            rcv_nxt: read(self.0, &TP_RCV_NXT),
            copied_seq: read(self.0, &TP_COPIED_SEQ),
            write_seq: read(self.0, &TP_WRITE_SEQ),
            snd_nxt: read(self.0, &TP_SND_NXT),
            snd_una: read(self.0, &TP_SND_UNA),
            pad: 0,
        }
    }
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_ktime_get_ns() }
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

#[inline(always)]
fn padded(v4: [u8; 4]) -> [u8; 16] {
    let mut address = [0; 16];
    address[0] = v4[0];
    address[1] = v4[1];
    address[2] = v4[2];
    address[3] = v4[3];
    address
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
        local: if v6 { read_at(ip + 24) } else { padded(read_at(ip + 16)) },
        remote: if v6 { read_at(ip + 8) } else { padded(read_at(ip + 12)) },
        local_port: u16::from_be(read_at(tcp + 2)),
        remote_port: u16::from_be(read_at(tcp)),
        family: if v6 { AF_INET6 } else { AF_INET },
        pad: 0,
        netns,
        pad2: 0,
    }
}
