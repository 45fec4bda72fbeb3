//! Segments with an old timestamp (PAWS, RFC 7323): the kernel drops them and answers by an ACK, unless they are an
//! RST.

use etherparse::TcpOptionElement;
use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, PSH, Peer, RST, Segment};
use crate::report::Bytes;

rows![paws_drops_data, paws_drops_fin, paws_lets_rst_pass];

/// A timestamp far below those that the peer has sent.
const OLD: TcpOptionElement = TcpOptionElement::Timestamp(1, 0);

fn connected(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let mut peer = Peer::new(lab);
    peer.offer_timestamps();
    let us = peer.connects();
    (peer, us)
}

/// Old data at the next expected byte: the process does not get it.
fn paws_drops_data(lab: &Lab) -> Counters {
    let (mut peer, us) = connected(lab);
    let data = peer.segment(PSH | ACK).carrying(10);
    dropped(&mut peer, &data);
    peer.send(data);
    peer.expect_ack();
    us.receive(10);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// An old FIN closes nothing.
fn paws_drops_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = connected(lab);
    let fin = peer.segment(FIN | ACK);
    dropped(&mut peer, &fin);
    lab.await_state(&us, State::Established);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// Sends the segment with an old timestamp. The kernel's ACK does not include it.
fn dropped(peer: &mut Peer<'_>, segment: &Segment) {
    peer.send_ignored(segment.clone().with_option(OLD));
    peer.expect_ack();
}

/// An RST is valid whatever its timestamp is.
fn paws_lets_rst_pass(lab: &Lab) -> Counters {
    let (mut peer, us) = connected(lab);
    peer.send(peer.segment(RST | ACK).with_option(OLD));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}
