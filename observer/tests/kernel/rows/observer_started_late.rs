//! The observer starts after the peer's FIN.

use serde_json::json;

use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;

rows![observer_started_after_fin, observer_started_before_write,];

/// The states say who closed first. The times are unknown.
fn observer_started_after_fin(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.shutdown(How::Write);
    us.await_peer_fin();
    lab.await_state(&peer, State::FinWait2);
    lab.restart_observer();
    us.close();
    peer.receive_to_end(0);
    peer.close();
    lab.close_of_older(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "half_closed": {"local_ms": null, "remote_ms": null}, "bytes": {"after_peer_fin": null},
        "evidence": "inferred", "missing": ["peer_fin", "opening"],
    }));
    lab.close_of_older(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": null, "fin": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "evidence": "inferred", "missing": ["transition", "opening"],
    }));
    Counters::NONE
}

/// As [`observer_started_after_fin`], then we write. The lost bytes are known. The bytes written after the FIN are not.
fn observer_started_before_write(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    us.await_peer_fin();
    lab.restart_observer();
    us.send(13);
    us.await_gone();
    us.close();
    lab.reset_of(&peer).shows(&json!({"cause": "time_wait_data"}));
    lab.close_of_older(&us).shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "bytes": {"unacked": 13, "after_peer_fin": null}, "evidence": "inferred",
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}
