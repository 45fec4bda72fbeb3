//! A received segment (`struct sk_buff`): its endpoints, in ABI form, and its control bits. The payload is never read.

use observer_ebpf::abi::record::{AF_INET, AF_INET6, Endpoints};

use crate::{
    read::{cast, read, read_at},
    settings::{
        DEV_NET, NET_INUM, SKB_DEV, SKB_HEAD, SKB_NETWORK_HEADER, SKB_TRANSPORT_HEADER, TYPE_SK_BUFF,
    },
    sock::{Sock, v4},
};

/// Whether a received segment is a RST.
#[inline(always)]
pub(crate) fn is_reset(skb: u64) -> bool {
    control_bits(skb) & RST != 0
}

/// Whether a received segment is the first one of a handshake: a SYN without ACK.
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

/// Both endpoints, from the headers of a received segment. Its destination is the local one.
///
/// `listener` is the socket that received the segment, if there is one. It gives the network namespace, since
/// `tcp_v4_rcv` has cleared the segment's device by then.
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
