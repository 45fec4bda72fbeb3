//! One side shuts down writing while the other goes on; and close() where shutdown() was needed.

use std::time::Duration;

use serde_json::json;

use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in};
use crate::wait::let_pass;

rows![write_after_peer_shutdown, late_reply_after_client_close, late_reply_after_client_shutdown,];

/// The time that the server takes to reply.
const SLOW: Duration = Duration::from_millis(300);

/// [`SLOW`] in milliseconds, less the millisecond by which a timer may be early.
const SLOW_MS: f64 = 299.0;

/// B1. The peer shuts down its write side. We go on writing, then close. Nothing is lost.
fn write_after_peer_shutdown(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.shutdown(How::Write);
    us.await_peer_fin();
    for _ in 0..3 {
        us.send(100);
    }
    peer.receive(300);
    us.await_acked();
    us.close();
    peer.receive_to_end(0);

    let verdict = lab.close_of(&peer);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", 0.0, 5000.0);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin: 300, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", 0.0, 5000.0);
    peer.close();
    Counters::NONE
}

/// E1. The client sends a request and closes. The late reply finds no socket and is answered by RST.
fn late_reply_after_client_close(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    client.send(100);
    server.receive(100);
    client.await_acked();
    client.close();
    server.await_peer_fin();
    lab.await_state(&client, State::FinWait2);
    let_pass(SLOW);
    server.send(50);
    server.await_gone();
    // Not an error on Linux: the FIN came before the RST, and read() sees it first.
    server.receive_to_end(0);

    lab.close_of(&client).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.reset_of(&client).shows(&json!({"cause": "time_wait_data"}));
    let verdict = lab.close_of(&server);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "linger": null, "half_closed": {"local_ms": null},
        "bytes": Bytes { unacked: 50, after_peer_fin: 50, ..Bytes::NONE },
        "reset": reset_received_in("CLOSE_WAIT"), "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", SLOW_MS, 5000.0);
    server.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// E2. The client sends a request, shuts down its write side and reads the late reply. Everything arrives.
fn late_reply_after_client_shutdown(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    client.send(100);
    client.shutdown(How::Write);
    server.receive_to_end(100);
    let_pass(SLOW);
    server.send(50);
    server.close();
    client.receive_to_end(50);

    let verdict = lab.close_of(&client);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", SLOW_MS, 5000.0);
    let verdict = lab.close_of(&server);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin: 50, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", SLOW_MS, 5000.0);
    client.close();
    Counters::NONE
}
