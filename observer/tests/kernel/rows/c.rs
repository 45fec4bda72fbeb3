//! close, shutdown and SO_LINGER.

use serde_json::json;

use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};

/// SO_LINGER off, close with data queued: returns at once, and everything arrives all the same.
pub(crate) fn c1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let written = us.fill();
    let (_, unsent) = us.queues();
    assert!(unsent > 0, "the test needs something queued at close");
    us.close();
    peer.receive_to_end(written);
    // Otherwise our FIN may be acknowledged by the peer's own FIN, and we end orderly.
    lab.await_state(&us, State::FinWait2);
    peer.close();

    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "peer_still_open", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// SO_LINGER zero, close: a reset, and what was queued is thrown away. Once with a peer that does not read (all that
/// was sent is acknowledged, the rest waits for its window), once with one that does not even hear us.
pub(crate) fn c2(lab: &Lab) -> Counters {
    let thrown_away = |unacked, unsent| {
        json!({
            "outcome": "reset_sent", "cause": "linger_zero", "first_close": "local", "local_action": "close",
            "linger": {"mode": "zero", "configured_ms": 0},
            "bytes": Bytes { unacked, unsent, ..Bytes::NONE },
            "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
        })
    };

    let (us, peer) = lab.pair();
    us.fill();
    let (unacked, unsent) = us.queues();
    assert!(unsent > 0, "the test needs something queued at close");
    us.linger(0);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&thrown_away(unacked, unsent));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "linger": null, "bytes": {"unacked": 0, "unsent": 0, "after_peer_fin": 0},
        "reset": reset_received_in("ESTABLISHED"), "write_errors": {},
    }));
    peer.close();

    let (us, peer) = lab.pair();
    peer.silence();
    us.send(1000);
    us.linger(0);
    us.close();
    lab.close_of(&us).shows(&thrown_away(1000, 0));
    // The second peer has not heard the reset either: its end stays open.
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 3, ..Counters::NONE }
}
