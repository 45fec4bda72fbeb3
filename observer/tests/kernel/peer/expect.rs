//! The segments that the peer expects, always with a deadline.

use std::time::{Duration, Instant};

use super::{ACK, FIN, Peer, RST, Received, SYN, Segment};
use crate::wait::DEADLINE;

impl Peer<'_> {
    #[track_caller]
    pub(crate) fn expect_syn(&mut self) -> Segment {
        self.expect("a SYN", |heard| heard.segment.flags == SYN && heard.is_new)
    }

    /// The SYN's retransmission.
    #[track_caller]
    pub(crate) fn expect_syn_again(&mut self) -> Segment {
        self.expect("the SYN again", |heard| heard.segment.flags == SYN && !heard.is_new)
    }

    /// The SYN-ACK, which acknowledges everything that the peer has sent.
    #[track_caller]
    pub(crate) fn expect_syn_ack(&mut self) -> Segment {
        let next = self.next;
        self.expect("a SYN with ACK", |heard| {
            heard.segment.flags == SYN | ACK && heard.segment.acknowledged == next
        })
    }

    /// A pure ACK of everything that the peer has sent.
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

    /// A probe: a pure ACK whose sequence number is one too low, so that the peer must answer it.
    #[track_caller]
    pub(crate) fn expect_probe(&mut self) -> Segment {
        let before = self.heard.wrapping_sub(1);
        self.expect("a probe", |heard| heard.segment.is_pure_ack() && heard.segment.sequence == before)
    }

    /// This many new bytes, in any number of segments, without a FIN.
    #[track_caller]
    pub(crate) fn expect_data(&mut self, bytes: u32) {
        let all = self.heard.wrapping_add(bytes);
        while self.heard < all {
            self.expect(&format!("{bytes} bytes"), |heard| {
                heard.is_new && heard.segment.bytes > 0 && !heard.segment.flags.has(FIN | RST | SYN)
            });
        }
        assert_eq!(self.heard, all, "end of the data\n{}", self.log.join("\n"));
    }

    /// This many new bytes and then the FIN, which may share a segment with the last byte.
    #[track_caller]
    pub(crate) fn expect_data_and_fin(&mut self, bytes: u32) {
        let all = self.heard.wrapping_add(bytes) + 1;
        while self.heard < all {
            self.expect(&format!("{bytes} bytes and the FIN"), |heard| {
                heard.is_new && !heard.segment.flags.has(RST | SYN)
            });
        }
        assert_eq!(self.heard, all, "end of the data\n{}", self.log.join("\n"));
    }

    /// The kernel's FIN, without data.
    #[track_caller]
    pub(crate) fn expect_fin(&mut self) -> Segment {
        self.expect("a FIN", |heard| heard.is_new && heard.segment.flags.has(FIN) && heard.segment.bytes == 0)
    }

    /// The FIN's retransmission.
    #[track_caller]
    pub(crate) fn expect_fin_again(&mut self) -> Segment {
        self.expect("the FIN again", |heard| !heard.is_new && heard.segment.flags.has(FIN))
    }

    #[track_caller]
    pub(crate) fn expect_rst(&mut self) -> Segment {
        self.expect("a RST", |heard| heard.segment.flags.has(RST))
    }

    /// Waits for a matching segment.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str, fits: impl Fn(&Received) -> bool) -> Segment {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Some(heard) = self.receive(deadline) else {
                panic!("the kernel did not send {what}:\n{}", self.log.join("\n"))
            };
            if fits(&heard) {
                return heard.segment;
            }
            assert!(
                heard.passes(),
                "expected {what}, but the kernel sent the last of\n{}",
                self.log.join("\n")
            );
        }
    }

    /// Checks that only pure ACKs and retransmissions come in this time.
    #[track_caller]
    pub(crate) fn expect_nothing_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Some(heard) = self.receive(deadline) {
            assert!(
                heard.passes(),
                "no segment was expected, but the last one came:\n{}",
                self.log.join("\n")
            );
        }
    }
}
