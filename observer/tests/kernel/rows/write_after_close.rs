//! Writing after the peer, or our own process, has closed or shut down its side.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::actor::{Action, Disposition, How};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};

rows![
    exit_with_full_send_buffer,
    peer_closed_with_unread_data,
    peer_sigterm_with_unread_data,
    peer_sigkill_with_unread_data,
    peer_closed_then_two_writes,
    peer_sigterm_then_two_writes,
    peer_sigkill_then_two_writes,
    write_after_shutdown_write,
    write_after_shutdown_both,
    write_after_shutdown_read,
];

/// A1. The peer does not read. We write until the send buffer is full, then our process exits. The peer still receives
/// all.
fn exit_with_full_send_buffer(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    // It ends with EAGAIN, which is no error.
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

/// A2. The peer closes with data of ours unread and sends RST. Our next write fails with ECONNRESET, the one after with
/// EPIPE.
fn peer_closed_with_unread_data(lab: &Lab) -> Counters {
    peer_ends_with_unread_data(lab, "close", |peer| peer.close())
}

/// A3. As [`peer_closed_with_unread_data`], but SIGTERM ends the peer's process.
fn peer_sigterm_with_unread_data(lab: &Lab) -> Counters {
    peer_ends_with_unread_data(lab, "killed", |peer| peer.actor.kill(Signal::SIGTERM))
}

/// A3. As [`peer_closed_with_unread_data`], but SIGKILL ends the peer's process.
fn peer_sigkill_with_unread_data(lab: &Lab) -> Counters {
    peer_ends_with_unread_data(lab, "killed", |peer| peer.actor.kill(Signal::SIGKILL))
}

fn peer_ends_with_unread_data(lab: &Lab, local_action: &str, ends: fn(&End<'_>)) -> Counters {
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

/// A4. The peer has read everything and closes. Our first write is answered by RST, our second write fails with EPIPE.
fn peer_closed_then_two_writes(lab: &Lab) -> Counters {
    peer_ends_then_two_writes(lab, "close", |peer| peer.close())
}

/// A5. As [`peer_closed_then_two_writes`], but SIGTERM ends the peer's process.
fn peer_sigterm_then_two_writes(lab: &Lab) -> Counters {
    peer_ends_then_two_writes(lab, "killed", |peer| peer.actor.kill(Signal::SIGTERM))
}

/// A6. As [`peer_closed_then_two_writes`], but SIGKILL ends the peer's process. Some books expect RST here. Linux
/// closes the sockets of a killed process like those of any other process.
fn peer_sigkill_then_two_writes(lab: &Lab) -> Counters {
    peer_ends_then_two_writes(lab, "killed", |peer| peer.actor.kill(Signal::SIGKILL))
}

fn peer_ends_then_two_writes(lab: &Lab, local_action: &str, ends: fn(&End<'_>)) -> Counters {
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

/// A7. We shut down our write side, then write: EPIPE, and no packet.
fn write_after_shutdown_write(lab: &Lab) -> Counters {
    write_after_shutdown(lab, How::Write, "shutdown_write")
}

/// A8. As [`write_after_shutdown_write`], with both sides shut down.
fn write_after_shutdown_both(lab: &Lab) -> Counters {
    write_after_shutdown(lab, How::Both, "shutdown_both")
}

fn write_after_shutdown(lab: &Lab, how: How, local_action: &str) -> Counters {
    let (us, peer) = lab.pair();
    us.shutdown(how);
    us.actor.call("", Action::Sigpipe(Disposition::Handled)).expect("handling SIGPIPE");
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

/// A9. We shut down our read side, then write. The write succeeds, and nothing is reported for it.
fn write_after_shutdown_read(lab: &Lab) -> Counters {
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
