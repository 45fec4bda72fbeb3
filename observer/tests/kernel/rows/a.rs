//! Writing after the peer is gone.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::actor::{Act, Disposition, How};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};

/// The peer never reads; we write until everything is full, then our process exits. The peer gets it all.
pub(crate) fn a1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    // Ends with EAGAIN, which is no error.
    let written = us.fill();
    assert!(lab.cli.exit().success(), "exit status");
    peer.receive_to_end(written);
    lab.await_state(&us, State::FinWait2);
    peer.close();

    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "process_exit",
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// The peer closes with data of ours unread: it resets, our next write is told ECONNRESET and the one after EPIPE.
pub(crate) fn a2(lab: &Lab) -> Counters {
    peer_resets(lab, "close", |peer| peer.close())
}

/// As A2, but a signal ends the peer's process.
pub(crate) fn a3_sigterm(lab: &Lab) -> Counters {
    peer_resets(lab, "killed", |peer| peer.actor.kill(Signal::SIGTERM))
}

/// As A2, but a signal that cannot be handled ends the peer's process.
pub(crate) fn a3_sigkill(lab: &Lab) -> Counters {
    peer_resets(lab, "killed", |peer| peer.actor.kill(Signal::SIGKILL))
}

fn peer_resets(lab: &Lab, local_action: &str, ends: fn(&End<'_>)) -> Counters {
    let (us, peer) = lab.pair();
    us.send(1000);
    peer.await_readable(1000);
    us.await_acked();
    ends(&peer);
    us.await_gone();

    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": local_action,
        "linger": linger_off(),
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes { unread: 1000, ..Bytes::NONE },
        "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "linger": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE,
        "reset": reset_received_in("ESTABLISHED"), "write_errors": {},
    }));

    us.send_fails(Errno::ECONNRESET);
    us.send_fails(Errno::EPIPE);
    for errno in ["ECONNRESET", "EPIPE"] {
        let error = lab.write_error_of(&us);
        error.shows(&json!({
            "close_id": verdict.value("/id"), "errno": errno, "sigpipe": false, "cause": "peer_reset",
            "since_peer_fin_ms": null,
        }));
        error.lasted("/since_reset_ms", 0.0, f64::MAX);
    }
    us.close();
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 2, ..Counters::NONE }
}

/// The peer has read everything and closes; we write twice: the first is answered by a reset, the second fails.
pub(crate) fn a4(lab: &Lab) -> Counters {
    peer_closes(lab, "close", |peer| peer.close())
}

/// As A4, but a signal ends the peer's process.
pub(crate) fn a5(lab: &Lab) -> Counters {
    peer_closes(lab, "killed", |peer| peer.actor.kill(Signal::SIGTERM))
}

/// As A4, but a signal that cannot be handled ends the peer's process. Some books have a reset here: Linux closes
/// the sockets of a killed process as those of any other.
pub(crate) fn a6(lab: &Lab) -> Counters {
    peer_closes(lab, "killed", |peer| peer.actor.kill(Signal::SIGKILL))
}

fn peer_closes(lab: &Lab, local_action: &str, ends: fn(&End<'_>)) -> Counters {
    let (us, peer) = lab.pair();
    us.send(500);
    peer.receive(500);
    us.await_acked();
    ends(&peer);
    us.await_peer_fin();
    lab.await_state(&peer, State::FinWait2);
    us.send(100);
    us.await_gone();
    us.send_fails(Errno::EPIPE);

    lab.close_of(&peer).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": local_action,
        "linger": linger_off(), "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.reset_of(&peer).shows(&json!({"cause": "time_wait_data"}));

    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "linger": null, "half_closed": {"local_ms": null},
        "bytes": Bytes { unacked: 100, after_peer_fin: 100, ..Bytes::NONE },
        "reset": reset_received_in("CLOSE_WAIT"),
    }));
    verdict.lasted("/half_closed/remote_ms", 0.0, 5000.0);
    let error = lab.write_error_of(&us);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "write_after_peer_fin",
    }));
    error.lasted("/since_peer_fin_ms", 0.0, 5000.0).lasted("/since_reset_ms", 0.0, 5000.0);
    us.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// We shut down our write side and write all the same: EPIPE, and no packet.
pub(crate) fn a7(lab: &Lab) -> Counters {
    writes_after_shutdown(lab, How::Write, "shutdown_write")
}

/// As A7, with both sides shut down.
pub(crate) fn a8(lab: &Lab) -> Counters {
    writes_after_shutdown(lab, How::Both, "shutdown_both")
}

fn writes_after_shutdown(lab: &Lab, how: How, local_action: &str) -> Counters {
    let (us, peer) = lab.pair();
    us.shutdown(how);
    us.actor.call("", Act::Sigpipe(Disposition::Handled)).expect("handling SIGPIPE");
    us.send_fails(Errno::EPIPE);
    us.send_quietly_fails(Errno::EPIPE);
    peer.receive_to_end(0);
    peer.close();

    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": local_action,
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {"EPIPE": 2},
    }));
    verdict.lasted("/half_closed/local_ms", 0.0, 5000.0);
    for sigpipe in [true, false] {
        lab.write_error_of(&us).shows(&json!({
            "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": sigpipe, "cause": "local_shutdown",
            "since_peer_fin_ms": null, "since_reset_ms": null,
        }));
    }
    let verdict = lab.close_of(&peer);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", 0.0, 5000.0);
    us.close();
    Counters::NONE
}

/// We shut down our read side and write: nothing happens but the write.
pub(crate) fn a9(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.shutdown(How::Read);
    us.send(100);
    peer.receive(100);
    us.await_acked();
    lab.await_state(&us, State::Established);
    lab.await_state(&peer, State::Established);
    peer.close();
    lab.await_state(&us, State::CloseWait);
    lab.await_state(&peer, State::FinWait2);
    us.close();

    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}
