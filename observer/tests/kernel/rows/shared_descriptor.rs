//! Two processes share a socket: a close() acts only when it is the last, a shutdown() acts at once.

use std::time::Duration;

use serde_json::json;

use crate::actor::child::FORK_NAME;
use crate::actor::{Action, ActorCommand, How};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{linger_off, reset_received_in, reset_sent_in};
use crate::wait::let_pass;

rows![close_of_shared_descriptor, shutdown_by_one_close_by_another, close_of_inherited_descriptor,];

/// A pause long enough to show in a verdict.
const PAUSE: Duration = Duration::from_millis(400);

/// C10. A forked child shares the descriptors. A close() by one holder does nothing, and a shutdown() by one holder
/// sends the FIN at once. The last close() is attributed to the process that made it.
fn close_of_shared_descriptor(lab: &Lab) -> Counters {
    let (closed, its_peer) = lab.pair();
    let (shut, other_peer) = lab.pair();
    let child = lab.cli.call(FORK_NAME, Action::Fork).expect("forking");
    closed.close();
    lab.await_state(&closed, State::Established);
    lab.await_state(&its_peer, State::Established);
    shut.shutdown(How::Write);
    other_peer.receive_to_end(0);
    other_peer.close();
    lab.close_of(&shut).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null,
    }));
    lab.close_of(&other_peer).shows(&json!({"outcome": "graceful", "cause": "orderly"}));

    let last_close = ActorCommand { name: closed.name.clone(), action: Action::Close };
    lab.cli.call(FORK_NAME, Action::In(Box::new(last_close))).expect("closing");
    its_peer.receive_to_end(0);
    lab.await_state(&closed, State::FinWait2);
    its_peer.close();
    let child = u32::try_from(child).expect("a process id");
    lab.close_by(&closed, FORK_NAME, child).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(),
    }));
    lab.close_of(&its_peer)
        .shows(&json!({"outcome": "graceful", "cause": "orderly", "first_close": "remote"}));
    Counters::NONE
}

/// One process shuts down writing and exits. Another closes with data unread: that close() causes the RST.
fn shutdown_by_one_close_by_another(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.send(100);
    us.await_readable(100);
    lab.cli.call(FORK_NAME, Action::Fork).expect("forking");
    let shutdown = ActorCommand { name: us.name.clone(), action: Action::Shutdown(How::Write) };
    lab.cli.call(FORK_NAME, Action::In(Box::new(shutdown))).expect("shutting down in the child");
    let exit = ActorCommand { name: String::new(), action: Action::Exit(0) };
    lab.cli.begin(FORK_NAME, Action::Relay(Box::new(exit)));
    peer.await_peer_fin();
    let_pass(PAUSE);
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

/// A child closes the descriptor that its parent opened. The report names both.
fn close_of_inherited_descriptor(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let child = lab.cli.call(FORK_NAME, Action::Fork).expect("forking");
    us.close();
    let close = ActorCommand { name: us.name.clone(), action: Action::Close };
    lab.cli.call(FORK_NAME, Action::In(Box::new(close))).expect("closing in the child");
    peer.receive_to_end(0);
    peer.close();
    lab.close_by(&us, FORK_NAME, u32::try_from(child).expect("a process id")).shows(&json!({
        "outcome": "graceful", "local_action": "close", "evidence": "exact",
        "opened_by_process": {"pid": us.actor.pid(), "comm": us.actor.name(), "uid": 0},
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "opened_by_process": null}));
    Counters::NONE
}
