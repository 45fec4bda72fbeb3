//! Segments with an old timestamp (PAWS, RFC 7323): the kernel answers them by an ACK and throws them away, unless they
//! are a RST.

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

/// Long before any timestamp that the peer has sent.
const OLD: TcpOptionElement = TcpOptionElement::Timestamp(1, 0);

fn connected(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let mut peer = Peer::new(lab);
    peer.offer_timestamps();
    let us = peer.connects();
    (peer, us)
}

/// Data from long ago, for the place where new data is expected: not what the process gets.
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

/// A FIN from long ago closes nothing.
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

/// Sent as if long ago; the ACK is of what came before it.
fn dropped(peer: &mut Peer<'_>, segment: &Segment) {
    peer.send_ignored(segment.clone().with_option(OLD));
    peer.expect_ack();
}

/// A RST is believed whatever its timestamp is.
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
