//! close() queues a FIN behind data that does not fit the peer's window.

use std::time::Duration;

use serde_json::json;

use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::wait::let_pass;

rows![queued_fin_never_sent, queued_fin_sent_late,];

/// A pause long enough to show in a verdict.
const PAUSE: Duration = Duration::from_millis(400);

/// The peer's FIN comes, then its RST. Our FIN was never sent, so the peer closed first.
fn queued_fin_never_sent(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.fill();
    us.close();
    let_pass(PAUSE);
    peer.shutdown(How::Write);
    let_pass(PAUSE);
    peer.close();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "close", "fin": {"sent": false, "acked_ms": null}, "bytes": {"unread": 0, "unacked": 0},
        "half_closed": {"local_ms": null}, "error": "ECONNRESET", "evidence": "exact",
    }));
    verdict.lasted("/half_closed/remote_ms", 400.0, 900.0);
    // A probe of the closed window may have delivered some of the data.
    assert!(
        verdict.value("/bytes/unsent").as_u64().is_none_or(|unsent| unsent > 100_000),
        "bytes never sent"
    );
    let closed = lab.close_of(&peer);
    closed.shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "shutdown_write",
        "fin": {"sent": true}, "half_closed": {"remote_ms": null},
    }));
    closed.lasted("/half_closed/local_ms", 400.0, 900.0);
    Counters { resets_sent: 1, abort_on_close: 1, ..Counters::NONE }
}

/// The peer reads on later and closes at the end of the data. The wait of our FIN does not count as half-closed time.
fn queued_fin_sent_late(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let written = us.fill();
    us.close();
    let_pass(PAUSE);
    peer.receive_to_end(written);
    peer.close();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "graceful", "first_close": "local", "local_action": "close", "fin": {"sent": true},
        "half_closed": {"local_ms": null, "remote_ms": null}, "evidence": "exact",
    }));
    verdict.lasted("/fin/acked_ms", 400.0, 2000.0);
    let closed = lab.close_of(&peer);
    closed.shows(&json!({"outcome": "graceful", "cause": "orderly", "first_close": "remote"}));
    closed.lasted("/half_closed/remote_ms", 0.0, 350.0);
    Counters::NONE
}
