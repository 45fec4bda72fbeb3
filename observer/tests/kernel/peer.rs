//! A peer of our own making, beyond a TUN device: it plays a timeline of segments and ICMP messages against a real socket
//! of the kernel under test.
//!
//! It is one end of one connection. It acknowledges nothing by itself: whatever it sends, the timeline says. Each of its
//! segments goes on where the last one ended and acknowledges everything heard so far, unless the timeline says
//! otherwise ([`Peer::say`]). What it expects it waits for, with a deadline; meanwhile it passes over pure ACKs and over
//! repetitions of what it has heard, and fails on anything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use etherparse::TcpOptionElement;

use crate::actor::Act;
use crate::end::End;
use crate::lab::{Family, Lab};
use crate::wait::DEADLINE;

pub(crate) mod icmp;
pub(crate) mod segment;
mod tun;

pub(crate) use icmp::Icmp;
pub(crate) use segment::{ACK, FIN, PSH, RST, SYN, Segment};

use segment::Flags;
use tun::Tun;

/// The peer's addresses, on the networks of the device.
const HERE_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HERE_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The peer's port. Nobody else uses its address.
const PORT: u16 = 8080;

/// The sequence number of the peer's SYN, and how much later that of its next connection is.
const FIRST: u32 = 1_000_000;
const STEP: u32 = 1_000_000;

/// Data in one segment of the kernel's.
const MSS: u16 = 1000;

/// The peer's clock, for timestamps; it does not tick by itself.
const CLOCK: u32 = 5000;

/// Names of the socket under test and its listener in their actor.
const US: &str = "us";
const LISTENER: &str = "listener beside the wire";

pub(crate) struct Peer<'lab> {
    lab: &'lab Lab,
    tun: Tun,
    here: SocketAddr,
    /// The kernel's end; port 0 as long as it is not known.
    host: SocketAddr,
    /// The sequence numbers of the peer's SYN and of the kernel's, on the wire.
    first: u32,
    host_first: u32,
    /// Where our next segment begins.
    next: u32,
    /// Where the kernel's next new segment begins.
    heard: u32,
    /// The kernel's last packet that takes room in the sequence: what an ICMP message is about.
    packet: Vec<u8>,
    /// The peer's clock and the kernel's last timestamp, where timestamps are used.
    timestamps: Option<(u32, u32)>,
    /// Both directions, for the message of a timeline that fails.
    log: Vec<String>,
}

impl<'lab> Peer<'lab> {
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let tun = Tun::in_namespace(&lab.netns).expect("making a TUN device");
        let (here, host): (IpAddr, IpAddr) = match lab.family {
            Family::Ipv4 => (HERE_IPV4.into(), tun::HOST_IPV4.into()),
            Family::Ipv6 => (HERE_IPV6.into(), tun::HOST_IPV6.into()),
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

    /// A connection that the client has made to the peer.
    #[track_caller]
    pub(crate) fn connected(lab: &'lab Lab) -> (Self, End<'lab>) {
        let mut peer = Self::new(lab);
        let us = peer.connects();
        (peer, us)
    }

    /// A connection that the peer has made to the server, and the server has accepted.
    #[track_caller]
    pub(crate) fn accepted(lab: &'lab Lab) -> (Self, End<'lab>) {
        let mut peer = Self::new(lab);
        let us = peer.listener();
        peer.syn();
        peer.expect_syn_ack();
        peer.ack();
        Self::accept(&us);
        (peer, us)
    }

    /// From now on the peer's SYN offers timestamps, and its segments have them.
    pub(crate) fn offer_timestamps(&mut self) {
        self.timestamps = Some((CLOCK, 0));
    }

    /// The client begins a blocking connect(); its SYN has come. The answer is `us.actor.answer()`.
    #[track_caller]
    pub(crate) fn begin_connect(&mut self) -> End<'lab> {
        let us = self.client();
        us.actor.begin(US, Act::Connect(self.here));
        self.expect_syn();
        End { local: self.host, ..us }
    }

    /// The client begins a non-blocking connect(); its SYN has come.
    #[track_caller]
    pub(crate) fn connecting(&mut self) -> End<'lab> {
        let us = self.client();
        us.call(Act::StartConnect(self.here)).expect("starting to connect");
        self.expect_syn();
        End { local: self.host, ..us }
    }

    /// The client connects.
    #[track_caller]
    pub(crate) fn connects(&mut self) -> End<'lab> {
        let us = self.begin_connect();
        self.syn_ack();
        us.actor.answer().expect("connecting");
        self.expect_ack();
        us
    }

    /// The client's end of a connection to the peer that is yet to be made.
    pub(crate) fn client(&self) -> End<'lab> {
        End {
            actor: &self.lab.cli,
            name: US.to_owned(),
            local: self.host,
            remote: self.here,
            opened_by: "local",
        }
    }

    /// The kernel's end; port 0 as long as it is not known.
    pub(crate) fn host(&self) -> SocketAddr {
        self.host
    }

    /// Where the peer is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.here
    }

    /// The server listens: its end of a connection that the peer is yet to make.
    #[track_caller]
    pub(crate) fn listener(&mut self) -> End<'lab> {
        let port = self.lab.srv.call(LISTENER, Act::Listen(self.host.ip())).expect("listening");
        self.nobody(u16::try_from(port).expect("a port"))
    }

    /// The end of a connection that the peer tries to make where nobody listens.
    pub(crate) fn nobody(&mut self, port: u16) -> End<'lab> {
        self.host.set_port(port);
        End {
            actor: &self.lab.srv,
            name: US.to_owned(),
            local: self.host,
            remote: self.here,
            opened_by: "remote",
        }
    }

    /// The server accepts the peer's connection.
    #[track_caller]
    pub(crate) fn accept(us: &End<'_>) {
        us.call(Act::Accept { listener: LISTENER.to_owned() }).expect("accepting");
    }

    #[track_caller]
    pub(crate) fn close_listener(&self) {
        self.lab.srv.call(LISTENER, Act::Close).expect("closing the listener");
    }

    /// The peer has forgotten the connection and will begin another from the same port.
    pub(crate) fn begin_anew(&mut self) {
        self.first += STEP;
        (self.next, self.heard, self.host_first) = (0, 0, 0);
    }

    /// A segment that goes on where the last one ended and acknowledges all that was heard.
    pub(crate) fn segment(&self, flags: Flags) -> Segment {
        Segment::new(flags, self.next, self.heard)
    }

    pub(crate) fn syn(&mut self) {
        self.say(self.segment(SYN).with_option(TcpOptionElement::MaximumSegmentSize(MSS)));
    }

    pub(crate) fn syn_ack(&mut self) {
        let first = self.segment(SYN | ACK).at(0);
        self.say(first.with_option(TcpOptionElement::MaximumSegmentSize(MSS)));
    }

    pub(crate) fn ack(&mut self) {
        self.say(self.segment(ACK));
    }

    /// Acknowledges no more than this, whatever was heard.
    pub(crate) fn ack_up_to(&mut self, sequence: u32) {
        self.say(self.segment(ACK).acking(sequence));
    }

    /// Acknowledges all, and says how much more the peer would take.
    pub(crate) fn window(&mut self, window: u16) {
        self.say(self.segment(ACK).with_window(window));
    }

    pub(crate) fn data(&mut self, bytes: u32) {
        self.say(self.segment(PSH | ACK).carrying(bytes));
    }

    pub(crate) fn fin(&mut self) {
        self.say(self.segment(FIN | ACK));
    }

    pub(crate) fn rst(&mut self) {
        self.say(self.segment(RST | ACK));
    }

    /// Sends a segment. Where it ends is where the next one begins, unless it is an old one or one from beyond.
    ///
    /// Unless a system call has the socket at that moment, the kernel is done with it when this returns.
    pub(crate) fn say(&mut self, segment: Segment) {
        if segment.sequence <= self.next {
            self.next = self.next.max(segment.end());
        }
        self.say_in_vain(segment);
    }

    /// As [`Peer::say`], of what the kernel will not take: the next segment begins where this one did.
    pub(crate) fn say_in_vain(&mut self, mut segment: Segment) {
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
        self.say_icmp(icmp, &self.packet);
    }

    /// As [`Peer::icmp`], about a segment that the kernel has not sent.
    pub(crate) fn icmp_about(&mut self, icmp: Icmp, segment: &Segment) {
        self.log.push(format!("peer:   ICMP {icmp:?} about {segment}"));
        let packet = segment.packet(self.host, self.here, (self.host_first, self.first));
        self.say_icmp(icmp, &packet);
    }

    fn say_icmp(&self, icmp: Icmp, packet: &[u8]) {
        let message = icmp.about(packet, self.here.ip(), self.host.ip());
        self.tun.write(&message).expect("sending an ICMP message");
    }

    #[track_caller]
    pub(crate) fn expect_syn(&mut self) -> Segment {
        self.expect("a SYN", |heard| heard.segment.flags == SYN && heard.is_new)
    }

    /// The same SYN, because nothing has answered it.
    #[track_caller]
    pub(crate) fn expect_syn_again(&mut self) -> Segment {
        self.expect("the SYN again", |heard| heard.segment.flags == SYN && !heard.is_new)
    }

    /// That acknowledges all that the peer has sent.
    #[track_caller]
    pub(crate) fn expect_syn_ack(&mut self) -> Segment {
        let next = self.next;
        self.expect("a SYN with ACK", |heard| {
            heard.segment.flags == SYN | ACK && heard.segment.acknowledged == next
        })
    }

    /// An ACK and nothing else, of all that the peer has sent.
    #[track_caller]
    pub(crate) fn expect_ack(&mut self) -> Segment {
        self.expect_ack_of(self.next)
    }

    #[track_caller]
    pub(crate) fn expect_ack_of(&mut self, sequence: u32) -> Segment {
        self.expect(&format!("an ACK of {sequence}"), |heard| {
            heard.segment.is_pure_ack() && heard.segment.acknowledged == sequence
        })
    }

    /// A probe: an ACK that begins before what the peer has acknowledged, so that it must be answered.
    #[track_caller]
    pub(crate) fn expect_probe(&mut self) -> Segment {
        let before = self.heard.wrapping_sub(1);
        self.expect("a probe", |heard| heard.segment.is_pure_ack() && heard.segment.sequence == before)
    }

    /// So many new bytes, in as many segments as the kernel likes, and no FIN before the last.
    #[track_caller]
    pub(crate) fn expect_data(&mut self, bytes: u32) {
        let all = self.heard.wrapping_add(bytes);
        while self.heard < all {
            self.expect(&format!("{bytes} bytes"), |heard| {
                heard.is_new && heard.segment.bytes > 0 && !heard.segment.flags.has(FIN | RST | SYN)
            });
        }
        assert_eq!(self.heard, all, "where the data ends\n{}", self.log.join("\n"));
    }

    /// So many new bytes and then the FIN, which may share a segment with the last of them.
    #[track_caller]
    pub(crate) fn expect_data_and_fin(&mut self, bytes: u32) {
        let all = self.heard.wrapping_add(bytes) + 1;
        while self.heard < all {
            self.expect(&format!("{bytes} bytes and the FIN"), |heard| {
                heard.is_new && !heard.segment.flags.has(RST | SYN)
            });
        }
        assert_eq!(self.heard, all, "where the data ends\n{}", self.log.join("\n"));
    }

    /// The kernel's FIN, without data.
    #[track_caller]
    pub(crate) fn expect_fin(&mut self) -> Segment {
        self.expect("a FIN", |heard| heard.is_new && heard.segment.flags.has(FIN) && heard.segment.bytes == 0)
    }

    /// The kernel's FIN once more, because nothing has answered it.
    #[track_caller]
    pub(crate) fn expect_fin_again(&mut self) -> Segment {
        self.expect("the FIN again", |heard| !heard.is_new && heard.segment.flags.has(FIN))
    }

    #[track_caller]
    pub(crate) fn expect_rst(&mut self) -> Segment {
        self.expect("a RST", |heard| heard.segment.flags.has(RST))
    }

    /// Waits for a segment that fits.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str, fits: impl Fn(&Heard) -> bool) -> Segment {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Some(heard) = self.hear(deadline) else {
                panic!("the kernel does not send {what}:\n{}", self.log.join("\n"))
            };
            if fits(&heard) {
                return heard.segment;
            }
            let passes = heard.segment.is_pure_ack() || !heard.is_new && !heard.segment.flags.has(RST);
            assert!(passes, "instead of {what} the kernel sends the last of\n{}", self.log.join("\n"));
        }
    }

    /// Nothing but pure ACKs and repetitions comes in this time.
    #[track_caller]
    pub(crate) fn expect_nothing_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Some(heard) = self.hear(deadline) {
            let passes = heard.segment.is_pure_ack() || !heard.is_new && !heard.segment.flags.has(RST);
            assert!(passes, "nothing was expected, and the last came:\n{}", self.log.join("\n"));
        }
    }

    /// The kernel's next segment of this connection; none when none comes in time.
    fn hear(&mut self, deadline: Instant) -> Option<Heard> {
        loop {
            let packet = self.tun.read(deadline).expect("reading from the TUN device")?;
            let Some((from, to, mut segment)) = segment::parse(&packet) else { continue };
            let is_ours = to == self.here && from.ip() == self.host.ip();
            if !is_ours || self.host.port() != 0 && from.port() != self.host.port() {
                continue;
            }
            self.host = from;
            // Before the first SYN there is nothing to count from.
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
            return Some(Heard { segment, is_new });
        }
    }
}

/// A segment of the kernel's.
pub(crate) struct Heard {
    pub(crate) segment: Segment,
    /// It has something that was not heard before. A segment that takes no room in the sequence has nothing new.
    pub(crate) is_new: bool,
}
