//! Segments that do not fit the connection: from an earlier one, from outside the window, or beyond the FIN.

use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, PSH, Peer, RST, SYN};
use crate::report::{Bytes, reset_sent_in};

rows![
    half_open,
    half_open_connects_again,
    syn_in_established,
    syn_ack_in_established,
    data_over_the_fin,
    rst_with_wrong_sequence,
    challenge_ack_then_rst,
];

/// The peer has forgotten the connection, as after a reboot. It answers our data with RST.
fn half_open(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.send(100);
    peer.expect_data(100);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes { unacked: 100, ..Bytes::NONE }}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// The peer has forgotten the connection and connects again from the same port. Our challenge ACK makes it reset the
/// old connection. Its next SYN begins a new one.
fn half_open_connects_again(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    let old = (peer.segment(SYN).at(0), peer.segment(RST));
    peer.send(old.0);
    peer.expect_ack();
    peer.send(old.1);
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();

    peer.forget_connection();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    Peer::accept(&us);
    peer.fin();
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters { established_reset: 1, ..Counters::NONE }
}

/// A SYN in the middle of a connection gets a challenge ACK and changes nothing (RFC 5961).
fn syn_in_established(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    peer.send(peer.segment(SYN).at(0));
    peer.expect_ack();
    peer.data(10);
    peer.expect_ack();
    us.receive(10);
    peer.fin();
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The peer's SYN-ACK comes once more, since our ACK was lost. It gets only a challenge ACK.
fn syn_ack_in_established(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.syn_ack();
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// The peer sends a FIN, and then data with the FIN's sequence number. Our process has not closed. The kernel sends RST
/// and counts it as data for a closed socket.
fn data_over_the_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    peer.send(peer.segment(PSH | ACK).at(1).carrying(10));
    peer.expect_rst();
    us.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "invalid_segment", "first_close": "remote", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_sent_in("CLOSE_WAIT"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 1, ..Counters::NONE }
}

/// An RST from outside the window is ignored. The connection goes on and ends in order.
fn rst_with_wrong_sequence(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(RST | ACK).at(1_000_000));
    peer.data(10);
    peer.expect_ack();
    us.receive(10);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// An RST inside the window, but not at the next expected byte. The kernel sends a challenge ACK (RFC 5961), and the
/// peer answers with the exact RST.
fn challenge_ack_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(RST).at(101));
    peer.expect_ack();
    lab.await_state(&us, State::Established);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}
