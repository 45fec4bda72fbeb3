//! Resets that the peer sends, right ones and wrong ones.

use nix::errno::Errno;
use serde_json::json;

use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, Peer, RST};
use crate::report::{Bytes, linger_off, reset_received_in};

rows![rst_with_data, rst_with_wrong_sequence, challenge_ack_then_rst, fin_closes_first, unacked_then_rst];

/// A RST may carry data, for people to read. It is a RST all the same.
fn rst_with_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.say(peer.segment(RST | ACK).carrying(10));
    us.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "linger": null, "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": reset_received_in("ESTABLISHED"), "write_errors": {},
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// A RST from outside the window is not believed and not answered; the connection lives on and ends in order.
fn rst_with_wrong_sequence(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.say(peer.segment(RST | ACK).at(1_000_000));
    peer.data(10);
    peer.expect_ack();
    us.receive(10);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// A RST inside the window, but not where the next byte is expected: the kernel asks by a challenge ACK (RFC 5961), and
/// the peer answers with the exact RST.
fn challenge_ack_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.say(peer.segment(RST).at(101));
    peer.expect_ack();
    lab.await_state(&us, State::Established);
    peer.say(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("ESTABLISHED"), "write_errors": {},
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

fn fin_closes_first(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    peer.fin();
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// The peer acknowledges a part of what we sent, and resets: the rest is lost, to the byte.
fn unacked_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.send(100);
    peer.expect_data(100);
    peer.ack_up_to(41);
    peer.rst();
    us.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "bytes": Bytes { unacked: 60, ..Bytes::NONE }, "reset": reset_received_in("ESTABLISHED"),
    }));
    us.send_fails(Errno::ECONNRESET);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNRESET", "cause": "peer_reset",
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}
