//! The stale pooled connection.

use std::time::Duration;

use nix::errno::Errno;
use serde_json::json;

use crate::actor::How;
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, Report, linger_off, reset_received_in};
use crate::wait::let_pass;

/// How long the connection lies in the pool after the server has closed it.
const IDLE: Duration = Duration::from_millis(300);
/// The same, less what a timer may be early, as the observer gives times.
const IDLE_MS: f64 = 299.0;

/// The client's side of a connection that the server closed while it was idle, into which a request of 200 bytes
/// was written: with the verdict, after that on the server has been looked at.
fn stale(lab: &Lab) -> (End<'_>, Report) {
    let (client, server) = lab.pair();
    server.close();
    client.await_peer_fin();
    lab.await_state(&server, State::FinWait2);
    let_pass(IDLE);
    client.send(200);
    client.await_gone();

    lab.close_of(&server).shows(&json!({
        "outcome": "graceful", "cause": "peer_still_open", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.reset_of(&server).shows(&json!({"cause": "time_wait_data"}));
    let verdict = lab.close_of(&client);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "linger": null, "half_closed": {"local_ms": null},
        "bytes": Bytes { unacked: 200, after_peer_fin: 200, ..Bytes::NONE },
        "reset": reset_received_in("CLOSE_WAIT"), "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", IDLE_MS, 5000.0);
    (client, verdict)
}

/// What the kernel counts for it: the reset of the late data, and the client's connection ended by it.
const STALE: Counters = Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE };

/// The client writes a request into the stale connection and reads: the write succeeds, and the read says "end".
pub(crate) fn d1(lab: &Lab) -> Counters {
    let (client, _) = stale(lab);
    // Not an error on Linux: the FIN came before the reset, and a read sees that first.
    client.receive_to_end(0);
    client.close();
    STALE
}

/// As D1, with a second write: EPIPE, which belongs to the verdict that came before.
pub(crate) fn d2(lab: &Lab) -> Counters {
    let (client, verdict) = stale(lab);
    client.send_fails(Errno::EPIPE);
    let error = lab.write_error_of(&client);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": true, "cause": "write_after_peer_fin",
    }));
    error.lasted("/since_peer_fin_ms", IDLE_MS, 10_000.0).lasted("/since_reset_ms", 0.0, 10_000.0);
    client.close();
    STALE
}

/// The server shuts down its write side instead: it still takes the request, and nothing is lost.
pub(crate) fn d3(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    server.shutdown(How::Write);
    client.await_peer_fin();
    let_pass(IDLE);
    client.send(200);
    server.receive(200);
    client.await_acked();
    client.close();
    server.receive_to_end(0);

    let verdict = lab.close_of(&server);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", IDLE_MS, 5000.0);
    closed_after_peer(lab, &client, 200);
    server.close();
    Counters::NONE
}

/// The pool looks before it uses a connection, sees the end and closes: nothing is lost.
pub(crate) fn d4(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    server.close();
    client.await_peer_fin();
    lab.await_state(&server, State::FinWait2);
    let_pass(IDLE);
    client.receive_to_end(0);
    client.close();

    lab.close_of(&server).shows(&json!({
        "outcome": "graceful", "cause": "peer_still_open", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    closed_after_peer(lab, &client, 0);
    Counters::NONE
}

/// The client closed in good order after the idle time, with so many bytes written since the server's FIN.
fn closed_after_peer(lab: &Lab, client: &End<'_>, after_peer_fin: u64) {
    let verdict = lab.close_of(client);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", IDLE_MS, 5000.0);
}
