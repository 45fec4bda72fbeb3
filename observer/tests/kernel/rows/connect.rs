//! Connection attempts that fail, and writes before the connection is established.

use nix::errno::Errno;
use serde_json::json;

use crate::actor::Action;
use crate::counters::Counters;
use crate::lab::{CLOSED_PORT, Lab};
use crate::report::{Bytes, linger_off, reset_received_in};

rows![write_before_connected, connect_refused, connect_to_silent_address,];

/// B4. A write on a socket that never tried to connect fails with EPIPE, and there is no connection to report. A write
/// while connecting returns EAGAIN, which is no error. Closing that socket abandons the attempt.
fn write_before_connected(lab: &Lab) -> Counters {
    let us = lab.unconnected_socket();
    us.send_fails(Errno::EPIPE);
    lab.write_error_of(&us).shows(&json!({
        "close_id": null, "errno": "EPIPE", "sigpipe": false, "cause": "not_connected",
        "since_peer_fin_ms": null, "since_reset_ms": null,
    }));
    us.close();

    let us = lab.connecting(lab.silent_listener());
    assert_eq!(us.call(Action::Send { bytes: 10, flags: 0 }), Err(Errno::EAGAIN), "writing while connecting");
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "first_close": "none", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// B5. We connect to a port on which nothing listens.
fn connect_refused(lab: &Lab) -> Counters {
    let us = lab.fails_to_connect(CLOSED_PORT, Errno::ECONNREFUSED);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none", "linger": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    // The report is written from the side that sent the RST: the closed port.
    lab.reset_of(&us.other()).shows(&json!({
        "cause": "closed_port",
        "connection": {"remote": {"port": verdict.value("/connection/local/port")}},
    }));
    us.close();
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}

/// B7. We connect to an address that does not answer, until the kernel gives up.
fn connect_to_silent_address(lab: &Lab) -> Counters {
    // The lowest value: the kernel gives up after two seconds (three before Linux 6.5).
    lab.netns.set("ipv4/tcp_syn_retries", "1");
    let us = lab.fails_to_connect(lab.silent_listener(), Errno::ETIMEDOUT);
    lab.close_of(&us).shows(&json!({
        "outcome": "timed_out", "cause": "connect_timeout", "first_close": "none", "local_action": "none",
        "linger": null, "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    us.close();
    Counters { attempts_failed: 1, abort_on_timeout: 1, ..Counters::NONE }
}
