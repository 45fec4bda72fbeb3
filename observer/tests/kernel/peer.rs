//! The tests' own peer behind a TUN device. It plays a timeline of segments and ICMP messages against a real socket of
//! the kernel under test.
//!
//! It is one end of one connection. It sends only what the timeline tells it to, and acknowledges nothing by itself.
//! Each segment begins where the last one ended and acknowledges all received data, unless the timeline says otherwise
//! ([`Peer::send`]). It waits for expected segments with a deadline. Meanwhile it ignores pure ACKs and
//! retransmissions, and fails on any other segment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::lab::{Family, Lab};

mod connect;
mod expect;
pub(crate) mod icmp;
pub(crate) mod segment;
mod send;
mod tun;

pub(crate) use icmp::Icmp;
pub(crate) use segment::{ACK, FIN, PSH, RST, SYN, Segment};

use tun::Tun;

/// The peer's addresses, on the networks of the TUN device.
const PEER_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The peer's port. Only the peer uses its address.
const PORT: u16 = 8080;

/// The sequence number of the peer's first SYN.
const FIRST: u32 = 1_000_000;

pub(crate) struct Peer<'lab> {
    lab: &'lab Lab,
    tun: Tun,
    here: SocketAddr,
    /// The kernel's address. Port 0 as long as it is unknown.
    host: SocketAddr,
    /// The sequence numbers of the peer's SYN and of the kernel's, on the wire.
    first: u32,
    host_first: u32,
    /// The sequence number of the peer's next segment.
    next: u32,
    /// The sequence number of the kernel's next new segment.
    heard: u32,
    /// The kernel's last packet with SYN, FIN or data. ICMP messages are about it.
    packet: Vec<u8>,
    /// The peer's clock and the kernel's last timestamp. None without timestamps.
    timestamps: Option<(u32, u32)>,
    /// The segments of both directions, for the message of a timeline that fails.
    log: Vec<String>,
}

impl<'lab> Peer<'lab> {
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let tun = Tun::in_namespace(&lab.netns).expect("making a TUN device");
        let (here, host): (IpAddr, IpAddr) = match lab.family {
            Family::Ipv4 => (PEER_IPV4.into(), tun::HOST_IPV4.into()),
            Family::Ipv6 => (PEER_IPV6.into(), tun::HOST_IPV6.into()),
        };
        Self {
            lab,
            tun,
            here: SocketAddr::new(here, PORT),
            host: SocketAddr::new(host, 0),
            first: FIRST,
            host_first: 0,
            next: 0,
            heard: 0,
            packet: Vec::new(),
            timestamps: None,
            log: Vec::new(),
        }
    }

    /// Receives the kernel's next segment of this connection. None if none comes in time.
    fn receive(&mut self, deadline: Instant) -> Option<Received> {
        loop {
            let packet = self.tun.read(deadline).expect("reading from the TUN device")?;
            let Some((from, to, mut segment)) = segment::parse(&packet) else { continue };
            let is_ours = to == self.here && from.ip() == self.host.ip();
            if !is_ours || self.host.port() != 0 && from.port() != self.host.port() {
                continue;
            }
            self.host = from;
            // Sequence numbers count from the first SYN.
            if segment.flags.has(SYN) && self.heard == 0 {
                self.host_first = segment.sequence;
            }
            segment.sequence = segment.sequence.wrapping_sub(self.host_first);
            segment.acknowledged = segment.acknowledged.wrapping_sub(self.first);
            self.log.push(format!("kernel: {segment}"));
            if let (Some((_, last)), Some(timestamp)) = (&mut self.timestamps, segment.timestamp()) {
                *last = timestamp;
            }
            let takes_room = segment.end() != segment.sequence;
            let is_new = segment.end().wrapping_sub(self.heard).cast_signed() > 0;
            if takes_room && is_new {
                self.heard = segment.end();
            }
            if takes_room {
                self.packet = packet;
            }
            return Some(Received { segment, is_new });
        }
    }
}

/// A segment from the kernel.
pub(crate) struct Received {
    pub(crate) segment: Segment,
    /// It has a SYN, a FIN or data that did not come before.
    pub(crate) is_new: bool,
}

impl Received {
    /// Whether a timeline need not mention it: a pure ACK, or a retransmission.
    fn passes(&self) -> bool {
        self.segment.is_pure_ack() || !self.is_new && !self.segment.flags.has(RST)
    }
}
