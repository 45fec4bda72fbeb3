//! An observer that starts after the end has begun: it reports nothing that it has not seen.

use serde_json::json;

use super::reset_by_peer;
use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, Peer, RST};

rows![observer_after_peer_fin, observer_after_our_fin, observer_after_both_fins];

/// The peer had closed. The number of bytes written after its FIN is unknown.
fn observer_after_peer_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    lab.restart_observer();
    us.send(100);
    peer.expect_data(100);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of_older(&us)
        .shows(&reset_by_peer("write_after_peer_fin", "CLOSE_WAIT", "remote", "none"))
        .shows(
            &json!({"evidence": "inferred", "bytes": {"unacked": 100, "unsent": 0, "after_peer_fin": null}}),
        );
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// We had shut down, and the peer had acknowledged our FIN.
fn observer_after_our_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    lab.restart_observer();
    peer.fin();
    peer.expect_ack();
    lab.close_of_older(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "evidence": "inferred",
        "half_closed": {"local_ms": null, "remote_ms": null}, "reset": null,
    }));
    us.close();
    Counters::NONE
}

/// Both had closed, and only the ACK of our FIN was missing. The observer cannot know which side closed first.
fn observer_after_both_fins(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    lab.await_state(&us, State::Closing);
    lab.restart_observer();
    peer.ack();
    lab.close_of_older(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "evidence": "inferred",
        "bytes": {"unacked": 0, "unsent": 0, "after_peer_fin": null}, "reset": null,
    }));
    us.close();
    Counters::NONE
}
