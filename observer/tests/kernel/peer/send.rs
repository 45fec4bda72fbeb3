//! The segments and messages that the peer sends.

use etherparse::TcpOptionElement;

use super::segment::Flags;
use super::{ACK, FIN, Icmp, PSH, Peer, RST, SYN, Segment};

/// Most data bytes of a segment from the kernel.
const MSS: u16 = 1000;

impl Peer<'_> {
    /// A segment that begins where the last one ended, and acknowledges everything received.
    pub(crate) fn segment(&self, flags: Flags) -> Segment {
        Segment::new(flags, self.next, self.heard)
    }

    pub(crate) fn syn(&mut self) {
        self.send(self.segment(SYN).with_option(TcpOptionElement::MaximumSegmentSize(MSS)));
    }

    pub(crate) fn syn_ack(&mut self) {
        let first = self.segment(SYN | ACK).at(0);
        self.send(first.with_option(TcpOptionElement::MaximumSegmentSize(MSS)));
    }

    pub(crate) fn ack(&mut self) {
        self.send(self.segment(ACK));
    }

    /// Acknowledges everything before this sequence number.
    pub(crate) fn ack_up_to(&mut self, sequence: u32) {
        self.send(self.segment(ACK).acking(sequence));
    }

    /// Acknowledges everything, and sets the window in bytes.
    pub(crate) fn window(&mut self, window: u16) {
        self.send(self.segment(ACK).with_window(window));
    }

    pub(crate) fn data(&mut self, bytes: u32) {
        self.send(self.segment(PSH | ACK).carrying(bytes));
    }

    pub(crate) fn fin(&mut self) {
        self.send(self.segment(FIN | ACK));
    }

    pub(crate) fn rst(&mut self) {
        self.send(self.segment(RST | ACK));
    }

    /// Sends a segment. The next segment begins at its end, unless this one is old or beyond the next expected byte.
    ///
    /// The kernel has handled the segment when this returns, unless a system call holds the socket at that moment.
    pub(crate) fn send(&mut self, segment: Segment) {
        if segment.sequence <= self.next {
            self.next = self.next.max(segment.end());
        }
        self.send_ignored(segment);
    }

    /// As [`Peer::send`], for a segment that the kernel will ignore: the next segment begins at the same place.
    pub(crate) fn send_ignored(&mut self, mut segment: Segment) {
        if let Some((clock, heard)) = self.timestamps
            && segment.timestamp().is_none()
        {
            segment.options.push(TcpOptionElement::Timestamp(clock, heard));
        }
        self.log.push(format!("peer:   {segment}"));
        let packet = segment.packet(self.here, self.host, (self.first, self.host_first));
        self.tun.write(&packet).expect("sending a segment");
    }

    /// Sends an ICMP error about the kernel's last segment with SYN, FIN or data.
    pub(crate) fn icmp(&mut self, icmp: Icmp) {
        self.log.push(format!("peer:   ICMP {icmp:?}"));
        self.send_icmp(icmp, &self.packet);
    }

    /// As [`Peer::icmp`], about a segment that the kernel did not send.
    pub(crate) fn icmp_about(&mut self, icmp: Icmp, segment: &Segment) {
        self.log.push(format!("peer:   ICMP {icmp:?} about {segment}"));
        let packet = segment.packet(self.host, self.here, (self.host_first, self.first));
        self.send_icmp(icmp, &packet);
    }

    fn send_icmp(&self, icmp: Icmp, packet: &[u8]) {
        let message = icmp.about(packet, self.here.ip(), self.host.ip());
        self.tun.write(&message).expect("sending an ICMP message");
    }
}
