//! What was sent, by whom, and when: queued FINs, two processes with one socket, connections older than the observer.

use std::time::Duration;

use serde_json::json;

use crate::actor::child::FORK_NAME;
use crate::actor::{Act, Command, How};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{reset_received_in, reset_sent_in};
use crate::wait::let_pass;

/// Time that must show in a verdict.
const WHILE: Duration = Duration::from_millis(400);

/// close() queues a FIN behind data that a closed window holds back. The peer's FIN comes, then its RST: our FIN never
/// left, so that the peer closed first.
pub(crate) fn fin_never_left(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.fill();
    us.close();
    let_pass(WHILE);
    peer.shutdown(How::Write);
    let_pass(WHILE);
    peer.close();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "close", "fin": {"sent": false, "acked_ms": null}, "bytes": {"unread": 0, "unacked": 0},
        "half_closed": {"local_ms": null}, "error": "ECONNRESET", "evidence": "exact",
    }));
    verdict.lasted("/half_closed/remote_ms", 400.0, 900.0);
    // A probe of the closed window may have got some of it through.
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

/// close() queues a FIN behind data. The peer reads on later and closes at the end of the data: the time that the FIN
/// waited is no half-closed time.
pub(crate) fn fin_waited(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let written = us.fill();
    us.close();
    let_pass(WHILE);
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

/// One process shuts down writing and exits; another one closes with data unread. It is the close() that resets.
pub(crate) fn shut_down_by_another(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.send(100);
    us.await_readable(100);
    lab.cli.call(FORK_NAME, Act::Fork).expect("forking");
    let shutdown = Command { name: us.name.clone(), act: Act::Shutdown(How::Write) };
    lab.cli.call(FORK_NAME, Act::In(Box::new(shutdown))).expect("shutting down in the child");
    let exit = Command { name: String::new(), act: Act::Exit(0) };
    lab.cli.begin(FORK_NAME, Act::Relay(Box::new(exit)));
    peer.await_peer_fin();
    let_pass(WHILE);
    us.close();
    peer.await_gone();
    peer.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "close",
        "bytes": {"unread": 100}, "reset": reset_sent_in("FIN_WAIT2"), "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}

/// A child closes the descriptor that its parent opened: both are named.
pub(crate) fn inherited(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let child = lab.cli.call(FORK_NAME, Act::Fork).expect("forking");
    us.close();
    let close = Command { name: us.name.clone(), act: Act::Close };
    lab.cli.call(FORK_NAME, Act::In(Box::new(close))).expect("closing in the child");
    peer.receive_to_end(0);
    peer.close();
    lab.close_by(&us, FORK_NAME, u32::try_from(child).expect("a process id")).shows(&json!({
        "outcome": "graceful", "local_action": "close", "evidence": "exact",
        "opened_by_process": {"pid": us.actor.pid(), "comm": us.actor.name(), "uid": 0},
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "opened_by_process": null}));
    Counters::NONE
}

/// A request waits in the accept queue, acknowledged. The listener closes, and it is lost.
pub(crate) fn unread_in_the_accept_queue(lab: &Lab) -> Counters {
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

/// connect(AF_UNSPEC) with data unread: it was acknowledged, and is lost.
pub(crate) fn unread_at_disconnect(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.send(5);
    us.await_readable(5);
    us.call(Act::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "bytes": {"unread": 5}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// The observer starts when the peer has closed already. The states say who closed first; nobody knows when.
pub(crate) fn started_after_the_fin(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.shutdown(How::Write);
    us.await_peer_fin();
    lab.await_state(&peer, State::FinWait2);
    lab.watch_anew();
    us.close();
    peer.receive_to_end(0);
    peer.close();
    lab.close_of_older(&us).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "half_closed": {"local_ms": null, "remote_ms": null}, "bytes": {"after_peer_fin": null},
        "evidence": "inferred", "missing": ["peer_fin", "opening"],
    }));
    lab.close_of_older(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": null, "fin": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "evidence": "inferred", "missing": ["transition", "opening"],
    }));
    Counters::NONE
}

/// As [`started_after_the_fin`], and then data is written into the connection: how much was lost is known, what was
/// written after the FIN is not.
pub(crate) fn started_late_and_wrote(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    us.await_peer_fin();
    lab.watch_anew();
    us.send(13);
    us.await_gone();
    us.close();
    lab.reset_of(&peer).shows(&json!({"cause": "time_wait_data"}));
    lab.close_of_older(&us).shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "bytes": {"unacked": 13, "after_peer_fin": null}, "evidence": "inferred",
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}
