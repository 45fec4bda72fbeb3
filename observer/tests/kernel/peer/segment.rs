//! A TCP segment of a timeline. Sequence numbers are relative: the sender's SYN has number 0.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::BitOr;

use etherparse::{
    NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TcpSlice, TransportSlice,
};

/// Hop limit of the peer's packets.
const TTL: u8 = 64;

/// The default window, in bytes.
const WINDOW: u16 = 32_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

pub(crate) const FIN: Flags = Flags(0x01);
pub(crate) const SYN: Flags = Flags(0x02);
pub(crate) const RST: Flags = Flags(0x04);
pub(crate) const PSH: Flags = Flags(0x08);
pub(crate) const ACK: Flags = Flags(0x10);
pub(crate) const URG: Flags = Flags(0x20);

impl Flags {
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    /// Valid if the ACK flag is set.
    pub(crate) acknowledged: u32,
    pub(crate) window: u16,
    /// Number of data bytes. Their content makes no difference.
    pub(crate) bytes: u32,
    /// The urgent pointer: the last urgent byte is the one before it. Valid if URG is set.
    pub(crate) urgent: u16,
    pub(crate) options: Vec<TcpOptionElement>,
}

impl Segment {
    pub(crate) fn new(flags: Flags, sequence: u32, acknowledged: u32) -> Self {
        Self { flags, sequence, acknowledged, window: WINDOW, bytes: 0, urgent: 0, options: Vec::new() }
    }

    pub(crate) fn at(self, sequence: u32) -> Self {
        Self { sequence, ..self }
    }

    pub(crate) fn acking(self, acknowledged: u32) -> Self {
        Self { acknowledged, ..self }
    }

    pub(crate) fn carrying(self, bytes: u32) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) fn with_window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(crate) fn urgent_to(self, urgent: u16) -> Self {
        Self { flags: self.flags | URG, urgent, ..self }
    }

    pub(crate) fn with_option(mut self, option: TcpOptionElement) -> Self {
        self.options.push(option);
        self
    }

    /// The sequence number after the segment. SYN and FIN count as one byte each.
    pub(crate) fn end(&self) -> u32 {
        let flags = u32::from(self.flags.has(SYN)) + u32::from(self.flags.has(FIN));
        self.sequence.wrapping_add(self.bytes).wrapping_add(flags)
    }

    /// An ACK without data and without other flags.
    pub(crate) fn is_pure_ack(&self) -> bool {
        self.flags == ACK && self.bytes == 0
    }

    /// The sender's timestamp, if there is one.
    pub(crate) fn timestamp(&self) -> Option<u32> {
        self.options.iter().find_map(|option| match option {
            TcpOptionElement::Timestamp(value, _) => Some(*value),
            _ => None,
        })
    }

    /// The IP packet of this segment. `firsts` are the absolute sequence numbers of the sender's SYN and of the
    /// receiver's.
    pub(crate) fn packet(&self, from: SocketAddr, to: SocketAddr, firsts: (u32, u32)) -> Vec<u8> {
        let sequence = firsts.0.wrapping_add(self.sequence);
        let mut header = TcpHeader::new(from.port(), to.port(), sequence, self.window);
        header.fin = self.flags.has(FIN);
        header.syn = self.flags.has(SYN);
        header.rst = self.flags.has(RST);
        header.psh = self.flags.has(PSH);
        header.ack = self.flags.has(ACK);
        header.urg = self.flags.has(URG);
        header.urgent_pointer = self.urgent;
        if header.ack {
            header.acknowledgment_number = firsts.1.wrapping_add(self.acknowledged);
        }
        header.set_options(&self.options).expect("options that fit");
        let data = vec![b'y'; usize::try_from(self.bytes).expect("a length")];
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TTL),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), TTL),
            _ => panic!("{from} and {to} have different address families"),
        };
        let mut packet = Vec::new();
        ip.tcp_header(header).write(&mut packet, &data).expect("writing to memory");
        packet
    }
}

/// As in `tcpdump`: `F. 1:1(0) ack 11 win 502`.
impl fmt::Display for Segment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in [(SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (URG, "U"), (ACK, ".")] {
            if self.flags.has(flag) {
                out.write_str(letter)?;
            }
        }
        let end = self.sequence.wrapping_add(self.bytes);
        write!(out, " {}:{end}({})", self.sequence, self.bytes)?;
        if self.flags.has(ACK) {
            write!(out, " ack {}", self.acknowledged)?;
        }
        write!(out, " win {}", self.window)
    }
}

/// Parses a TCP packet. Returns its source, its destination, and the segment with absolute sequence numbers.
pub(crate) fn parse(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, Segment)> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { return None };
    let (from, to): (IpAddr, IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let ends = (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port()));
    Some((ends.0, ends.1, segment(tcp)))
}

fn segment(tcp: &TcpSlice<'_>) -> Segment {
    let flags = [
        (tcp.fin(), FIN),
        (tcp.syn(), SYN),
        (tcp.rst(), RST),
        (tcp.psh(), PSH),
        (tcp.ack(), ACK),
        (tcp.urg(), URG),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).fold(Flags(0), |all, (_, flag)| all | flag);
    Segment {
        flags,
        sequence: tcp.sequence_number(),
        acknowledged: tcp.acknowledgment_number(),
        window: tcp.window_size(),
        bytes: u32::try_from(tcp.payload().len()).expect("a packet's length"),
        urgent: tcp.urgent_pointer(),
        // Options that etherparse does not know, such as a Fast Open cookie, are left out.
        options: tcp.options_iterator().filter_map(Result::ok).collect(),
    }
}
