//! ICMP errors of routers and hosts, which quote the undeliverable segment (RFC 792, RFC 4443).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder};
use nix::errno::Errno;

use crate::lab::Family;

/// Hop limit of the messages.
const TTL: u8 = 64;

/// Most bytes of the packet that a message quotes. With all headers it fits any MTU.
const QUOTED: usize = 400;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Icmp {
    HostUnreachable,
    /// No listener on the port. `iptables -j REJECT` sends it by default.
    PortUnreachable,
    /// A firewall rejects the packet.
    Prohibited,
}

impl Icmp {
    /// The errno that the process gets.
    pub(crate) fn errno(self, family: Family) -> Errno {
        match (self, family) {
            (Self::PortUnreachable, _) => Errno::ECONNREFUSED,
            (Self::Prohibited, Family::Ipv6) => Errno::EACCES,
            (Self::HostUnreachable, _) | (Self::Prohibited, Family::Ipv4) => Errno::EHOSTUNREACH,
        }
    }

    /// The message to the sender of `packet`.
    pub(crate) fn about(self, packet: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
        let quoted = &packet[..packet.len().min(QUOTED)];
        let mut message = Vec::new();
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                self.ipv4(from, to).write(&mut message, quoted).expect("writing to memory");
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                self.ipv6(from, to).write(&mut message, quoted).expect("writing to memory");
            }
            _ => panic!("{from} and {to} have different address families"),
        }
        message
    }

    fn ipv4(self, from: Ipv4Addr, to: Ipv4Addr) -> etherparse::PacketBuilderStep<etherparse::Icmpv4Header> {
        let why = match self {
            Self::HostUnreachable => DestUnreachableHeader::Host,
            Self::PortUnreachable => DestUnreachableHeader::Port,
            Self::Prohibited => DestUnreachableHeader::FilterProhibited,
        };
        PacketBuilder::ipv4(from.octets(), to.octets(), TTL).icmpv4(Icmpv4Type::DestinationUnreachable(why))
    }

    fn ipv6(self, from: Ipv6Addr, to: Ipv6Addr) -> etherparse::PacketBuilderStep<etherparse::Icmpv6Header> {
        let why = match self {
            Self::HostUnreachable => DestUnreachableCode::Address,
            Self::PortUnreachable => DestUnreachableCode::Port,
            Self::Prohibited => DestUnreachableCode::Prohibited,
        };
        PacketBuilder::ipv6(from.octets(), to.octets(), TTL).icmpv6(Icmpv6Type::DestinationUnreachable(why))
    }
}
