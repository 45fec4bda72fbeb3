//! The receive queue, or the accept queue, is not empty when we close; or data arrives after we closed.

use serde_json::json;

use crate::actor::{Action, How};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, reset_received_in, reset_sent_in};

rows![
    close_while_peer_sends,
    listener_closed_before_accept,
    unread_data_in_accept_queue,
    disconnect_with_unread_data,
];

/// C9. We finish right after our last write while the peer still sends. RST follows: for the data that has come, after
/// close(); for the data that comes later, after shutdown() of both sides.
fn close_while_peer_sends(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.send(50);
    us.await_readable(50);
    us.send(10);
    peer.await_readable(10);
    us.await_acked();
    peer.await_acked();
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "close",
        "bytes": Bytes { unread: 50, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    lab.close_of(&peer)
        .shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "bytes": Bytes::NONE}));
    peer.close();

    let (us, peer) = lab.pair();
    us.send(10);
    us.shutdown(How::Both);
    peer.receive_to_end(10);
    lab.await_state(&us, State::FinWait2);
    peer.send(50);
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "data_after_close", "first_close": "local",
        "local_action": "shutdown_both", "linger": null, "bytes": Bytes::NONE,
        "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "bytes": Bytes { unacked: 50, after_peer_fin: 50, ..Bytes::NONE },
        "reset": reset_received_in("CLOSE_WAIT"), "write_errors": {},
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 2, abort_on_close: 1, abort_on_data: 1, established_reset: 3, ..Counters::NONE }
}

/// F3. The listener closes with a connection that no process has accepted.
fn listener_closed_before_accept(lab: &Lab) -> Counters {
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

/// A request waits in the accept queue, acknowledged. The listener closes, and the request is lost.
fn unread_data_in_accept_queue(lab: &Lab) -> Counters {
    let (us, peer) = lab.unaccepted();
    us.send(300);
    us.await_acked();
    lab.close_listener();
    us.await_gone();
    us.close();
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "bytes": {"unread": 300, "unacked": 0, "unsent": 0},
        "evidence": "exact",
    }));
    lab.close_of(&us).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// connect(AF_UNSPEC) with data unread. The data was acknowledged, and is lost.
fn disconnect_with_unread_data(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.send(5);
    us.await_readable(5);
    us.call(Action::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "bytes": {"unread": 5}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}
