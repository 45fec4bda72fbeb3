//! What the peer sends. Without more words a segment goes on where the last one ended and acknowledges all that was heard.

use etherparse::TcpOptionElement;

use super::segment::Flags;
use super::{ACK, FIN, Icmp, PSH, Peer, RST, SYN, Segment};

/// Data in one segment of the kernel's.
const MSS: u16 = 1000;

impl Peer<'_> {
    /// A segment that goes on where the last one ended and acknowledges all that was heard.
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

    /// Acknowledges no more than this, whatever was heard.
    pub(crate) fn ack_up_to(&mut self, sequence: u32) {
        self.send(self.segment(ACK).acking(sequence));
    }

    /// Acknowledges all, and says how much more the peer would take.
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

    /// Sends a segment. Where it ends is where the next one begins, unless it is an old one or one from beyond.
    ///
    /// Unless a system call has the socket at that moment, the kernel is done with it when this returns.
    pub(crate) fn send(&mut self, segment: Segment) {
        if segment.sequence <= self.next {
            self.next = self.next.max(segment.end());
        }
        self.send_ignored(segment);
    }

    /// As [`Peer::send`], of what the kernel will not take: the next segment begins where this one did.
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

    /// The kernel hears that its last segment (SYN, FIN or data) did not arrive.
    pub(crate) fn icmp(&mut self, icmp: Icmp) {
        self.log.push(format!("peer:   ICMP {icmp:?}"));
        self.send_icmp(icmp, &self.packet);
    }

    /// As [`Peer::icmp`], about a segment that the kernel has not sent.
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
