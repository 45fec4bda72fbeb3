//! Our side ends the connection by RST, or by nothing at all, without a plain close().

use nix::errno::Errno;
use serde_json::json;

use crate::actor::{Action, How, SocketOption};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, reset_received_in, reset_sent_in};

rows![
    disconnect_established,
    disconnect_after_shutdown_both,
    linger2_negative,
    linger2_negative_fin_unacked,
    socket_destroyed,
    close_in_repair_mode,
    mptcp_linger_zero,
];

/// F1. connect(AF_UNSPEC) on a connection: RST, and the socket lives on without a connection.
fn disconnect_established(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.call(Action::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "disconnect",
        "linger": null, "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "reset": reset_received_in("ESTABLISHED"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// F9. connect(AF_UNSPEC) after shutdown() of both sides with SO_LINGER zero. The fields of the kernel's socket are the
/// same as for close().
fn disconnect_after_shutdown_both(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.linger(0);
    us.shutdown(How::Both);
    lab.await_state(&us, State::FinWait2);
    us.call(Action::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "shutdown_both",
        "linger": null, "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "reset": reset_received_in("CLOSE_WAIT"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// F2. TCP_LINGER2 is below zero: close() does not wait for the peer's FIN.
fn linger2_negative(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Linger2(-1));
    us.shutdown(How::Write);
    lab.await_state(&us, State::FinWait2);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger2_negative", "first_close": "local",
        "local_action": "shutdown_write", "bytes": Bytes::NONE,
        "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    Counters { resets_sent: 1, abort_on_linger: 1, established_reset: 1, ..Counters::NONE }
}

/// F2. As [`linger2_negative`], but our FIN is acknowledged only after close().
fn linger2_negative_fin_unacked(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Linger2(-1));
    peer.silence();
    us.close();
    lab.await_state(&us, State::FinWait1);
    peer.hear_again();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger2_negative", "first_close": "local",
        "local_action": "close", "bytes": Bytes::NONE,
        "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    // The kernel counts this RST as if data had come.
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 1, ..Counters::NONE }
}

/// F4. Another process destroys the socket, as `ss -K` does. The reports name the socket's owner.
fn socket_destroyed(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    peer.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "evidence": "exact",
    }));
    us.send_fails(Errno::ECONNABORTED);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNABORTED", "sigpipe": false, "cause": "destroyed",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "reset": reset_received_in("ESTABLISHED"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// F6. We close in repair mode, as when a connection moves to another host. Nothing is sent. The peer learns of it only
/// when it sends something itself.
fn close_in_repair_mode(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Repair);
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "repair", "local_action": "close", "bytes": Bytes::NONE, "reset": null,
        "write_errors": {}, "evidence": "inferred",
    }));
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_received_in("FIN_WAIT1"), "write_errors": {},
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// F8. SO_LINGER zero on an MPTCP connection. The RST on its only subflow carries MPTCP's own option (MP_FASTCLOSE).
fn mptcp_linger_zero(lab: &Lab) -> Counters {
    for actor in [&lab.cli, &lab.srv] {
        actor.call("", Action::Mptcp).expect("choosing MPTCP");
    }
    let (us, peer) = lab.pair();
    us.send(10);
    peer.receive(10);
    peer.send(10);
    us.receive(10);
    us.linger(0);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "mptcp", "first_close": "local", "bytes": Bytes::NONE,
        "reset": reset_sent_in("ESTABLISHED"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("ESTABLISHED"),
    }));
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}
