//! Packets made by hand: TCP segments that no socket would send, and ICMP errors.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A flag of the TCP header.
#[derive(Clone, Copy)]
pub(crate) enum Flag {
    Syn = 0x02,
    Rst = 0x04,
    Ack = 0x10,
}

/// Offset of the checksum in the TCP header.
const CHECKSUM: usize = 16;

/// Sends one segment without data in the calling thread's namespace.
pub(crate) fn send(from: SocketAddr, to: SocketAddr, flag: Flag, sequence: u32) -> io::Result<()> {
    let mut segment = Vec::with_capacity(20);
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    // Acknowledgement number; header length in words (without options) and flag; window; checksum (filled in below) and
    // urgent pointer.
    segment.extend([0; 4]);
    segment.extend([5 << 4, flag as u8]);
    segment.extend(u16::MAX.to_be_bytes());
    segment.extend([0; 4]);
    let checksum = checksum(from.ip(), to.ip(), &segment);
    segment[CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());

    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
    // In a raw socket's address the port must be a protocol number or 0.
    socket.send_to(&segment, &SocketAddr::new(to.ip(), 0).into())?;
    Ok(())
}

/// The object that an ICMP error calls unreachable.
#[derive(Clone, Copy)]
pub(crate) enum Unreachable {
    Host,
    Port,
}

/// Sends `host` an ICMP error "destination unreachable" (RFC 792, RFC 4443) in the calling thread's namespace. It is
/// about the segment with this sequence number from `host` to `about`.
pub(crate) fn send_unreachable(
    what: Unreachable,
    host: SocketAddr,
    about: SocketAddr,
    sequence: u32,
) -> io::Result<()> {
    // The error quotes the IP header and the first eight bytes of the segment.
    let ip = match (host.ip(), about.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // Version and length of the header, ..., total length, ..., time to live, TCP.
            let fixed = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
            [&fixed[..], &from.octets(), &to.octets()].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let fixed = [0x60, 0, 0, 0, 0, 20, 6, 64];
            [&fixed[..], &from.octets(), &to.octets()].concat()
        }
        _ => panic!("{host} and {about} have different address families"),
    };
    let ports = [host.port(), about.port()].map(u16::to_be_bytes);
    let (kind, protocol) = match (host.is_ipv4(), what) {
        (true, Unreachable::Host) => ([3, 1], Protocol::ICMPV4),
        (true, Unreachable::Port) => ([3, 3], Protocol::ICMPV4),
        (false, Unreachable::Host) => ([1, 3], Protocol::ICMPV6),
        (false, Unreachable::Port) => ([1, 4], Protocol::ICMPV6),
    };
    let mut message = [&kind[..], &[0; 6], &ip, &ports[0], &ports[1], &sequence.to_be_bytes()].concat();
    // For IPv6 the kernel fills in the checksum.
    if host.is_ipv4() {
        let sum = folded(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    let socket = Socket::new(Domain::for_address(host), Type::RAW, Some(protocol))?;
    socket.bind(&SocketAddr::new(about.ip(), 0).into())?;
    socket.send_to(&message, &SocketAddr::new(host.ip(), 0).into())?;
    Ok(())
}

/// RFC 9293, 3.1: over the addresses, the protocol and the length, and the segment.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = u16::try_from(segment.len()).expect("a short segment");
    let bytes =
        [octets(from), octets(to), vec![0, 6], length.to_be_bytes().to_vec(), segment.to_vec()].concat();
    folded(&bytes)
}

/// RFC 1071, of an even number of bytes.
fn folded(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}
