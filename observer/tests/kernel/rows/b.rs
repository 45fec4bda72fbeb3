//! The error codes and the states behind them.

use nix::errno::Errno;
use serde_json::json;

use crate::actor::How;
use crate::counters::Counters;
use crate::lab::{CLOSED_PORT, Lab};
use crate::report::{Bytes, linger_off, reset_received_in};

/// The peer shuts down its write side; we go on writing, then close. Nothing is lost.
pub(crate) fn b1(lab: &Lab) -> Counters {
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

/// We connect to a port where nobody listens.
pub(crate) fn b5(lab: &Lab) -> Counters {
    let us = lab.fails_to_connect(CLOSED_PORT, Errno::ECONNREFUSED);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none", "linger": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    // The reset is told from the side that sent it: the closed port.
    lab.reset_of(&us.other()).shows(&json!({
        "cause": "closed_port",
        "connection": {"remote": {"port": verdict.value("/connection/local/port")}},
    }));
    us.close();
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}
