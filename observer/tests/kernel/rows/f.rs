//! Ends by reset that no other row has.

use serde_json::json;

use crate::actor::{Act, How, SocketOption};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, reset_received_in, reset_sent_in};

/// connect(AF_UNSPEC) on a connection: a reset, and the socket lives on without it.
pub(crate) fn f1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.call(Act::Disconnect).expect("disconnecting");
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

/// TCP_LINGER2 below zero: close does not wait for the peer's FIN.
pub(crate) fn f2(lab: &Lab) -> Counters {
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

/// The listener is closed with a connection that nobody has accepted.
pub(crate) fn f3(lab: &Lab) -> Counters {
    let (us, unaccepted) = lab.unaccepted();
    lab.close_listener();
    us.await_gone();
    lab.close_of(&unaccepted).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "first_close": "local",
        "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "reset": reset_received_in("ESTABLISHED"),
    }));
    us.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}
