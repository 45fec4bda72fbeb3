//! What the peer waits for, always with a deadline.

use std::time::{Duration, Instant};

use super::{ACK, FIN, Peer, RST, Received, SYN, Segment};
use crate::wait::DEADLINE;

impl Peer<'_> {
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
    pub(crate) fn expect(&mut self, what: &str, fits: impl Fn(&Received) -> bool) -> Segment {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Some(heard) = self.receive(deadline) else {
                panic!("the kernel does not send {what}:\n{}", self.log.join("\n"))
            };
            if fits(&heard) {
                return heard.segment;
            }
            assert!(
                heard.passes(),
                "instead of {what} the kernel sends the last of\n{}",
                self.log.join("\n")
            );
        }
    }

    /// Nothing but pure ACKs and repetitions comes in this time.
    #[track_caller]
    pub(crate) fn expect_nothing_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Some(heard) = self.receive(deadline) {
            assert!(heard.passes(), "nothing was expected, and the last came:\n{}", self.log.join("\n"));
        }
    }
}
