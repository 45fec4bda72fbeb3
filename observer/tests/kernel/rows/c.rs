//! close, shutdown and SO_LINGER.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::actor::child::FORK_NAME;
use crate::actor::{Act, Command, How, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};
use crate::wait::let_pass;

/// SO_LINGER off, close with data queued: returns at once, and everything arrives all the same.
pub(crate) fn c1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let written = us.fill();
    let (_, unsent) = us.queues();
    assert!(unsent > 0, "the test needs something queued at close");
    us.close();
    peer.receive_to_end(written);
    // Otherwise our FIN may be acknowledged by the peer's own FIN, and we end orderly.
    lab.await_state(&us, State::FinWait2);
    peer.close();

    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// SO_LINGER zero, close: a reset, and what was queued is thrown away. Once with a peer that does not read (all that
/// was sent is acknowledged, the rest waits for its window), once with one that does not even hear us.
pub(crate) fn c2(lab: &Lab) -> Counters {
    let thrown_away = |unacked, unsent| {
        json!({
            "outcome": "reset_sent", "cause": "linger_zero", "first_close": "local", "local_action": "close",
            "linger": {"mode": "zero", "configured_ms": 0},
            "bytes": Bytes { unacked, unsent, ..Bytes::NONE },
            "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
        })
    };

    let (us, peer) = lab.pair();
    us.fill();
    let (unacked, unsent) = us.queues();
    assert!(unsent > 0, "the test needs something queued at close");
    us.linger(0);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&thrown_away(unacked, unsent));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "linger": null, "bytes": {"unacked": 0, "unsent": 0, "after_peer_fin": 0},
        "reset": reset_received_in("ESTABLISHED"), "write_errors": {},
    }));
    peer.close();

    let (us, peer) = lab.pair();
    peer.silence();
    us.send(1000);
    us.linger(0);
    us.close();
    lab.close_of(&us).shows(&thrown_away(1000, 0));
    // The second peer has not heard the reset either: its end stays open.
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 3, ..Counters::NONE }
}

/// SO_LINGER two seconds, the peer reading: close waits for the acknowledgement, which comes.
pub(crate) fn c3(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.send(100);
    peer.receive(100);
    us.linger(2);
    us.close();
    lab.await_state(&us, State::FinWait2);
    peer.close();
    let verdict = lab.close_of(&us);
    verdict.shows(&lingered("timed", 2000, &json!("acked"), "close"));
    verdict.lasted("/linger/waited_ms", 0.0, 2000.0);
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "orderly", "first_close": "remote"}));
    Counters::NONE
}

/// SO_LINGER one second, the peer silent: close returns after it without an error, no reset is sent, and the kernel
/// goes on trying; the verdict comes when the peer answers at last.
pub(crate) fn c4(lab: &Lab) -> Counters {
    linger_expires(lab, |_| {})
}

/// As C4 on a non-blocking socket, which makes no difference on Linux.
pub(crate) fn c5(lab: &Lab) -> Counters {
    linger_expires(lab, |us| us.set(SocketOption::NonBlocking))
}

fn linger_expires(lab: &Lab, prepare: fn(&End<'_>)) -> Counters {
    let (us, peer) = silent_peer(lab, 1);
    prepare(&us);
    us.close();
    // Told when it happens, not when the connection ends.
    lab.linger_expired_of(&us).shows(&json!({"configured_ms": 1000}));
    answer_at_last(lab, &us, &peer);
    let verdict = lab.close_of(&us);
    verdict.shows(&lingered("timed", 1000, &json!("expired"), "close"));
    verdict.lasted("/linger/waited_ms", 1000.0, 2000.0);
    Counters::NONE
}

/// As C4 with a long time, but a signal interrupts the wait.
pub(crate) fn c6(lab: &Lab) -> Counters {
    let (us, peer) = silent_peer(lab, 60);
    us.begin_close();
    us.actor.signal(Signal::SIGUSR1);
    us.end_close();
    answer_at_last(lab, &us, &peer);
    let verdict = lab.close_of(&us);
    verdict.shows(&lingered("timed", 60_000, &json!("interrupted"), "close"));
    verdict.lasted("/linger/waited_ms", 0.0, 5000.0);
    Counters::NONE
}

/// The process exits with a long SO_LINGER and data queued: it is not held up.
pub(crate) fn c7(lab: &Lab) -> Counters {
    let (us, peer) = silent_peer(lab, 60);
    assert!(us.actor.exit().success(), "exit status");
    answer_at_last(lab, &us, &peer);
    lab.close_of(&us).shows(&lingered("suppressed", 60_000, &json!(null), "process_exit"));
    Counters::NONE
}

/// A connection with data under way to a peer that does not answer.
fn silent_peer(lab: &Lab, linger: u64) -> (End<'_>, End<'_>) {
    let (us, peer) = lab.pair();
    us.linger(linger);
    peer.silence();
    us.send(100);
    (us, peer)
}

/// The peer of [`silent_peer`] gets everything after all, by a retransmission.
fn answer_at_last(lab: &Lab, us: &End<'_>, peer: &End<'_>) {
    peer.hear_again();
    peer.receive_to_end(100);
    lab.await_state(us, State::FinWait2);
    peer.close();
    lab.close_of(peer).shows(&json!({"outcome": "graceful", "cause": "orderly", "first_close": "remote"}));
}

fn lingered(mode: &str, configured_ms: u64, result: &Value, local_action: &str) -> Value {
    json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": local_action,
        "linger": {"mode": mode, "configured_ms": configured_ms, "result": result},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    })
}

/// Gracefully, then hard: shutdown of both sides, a while for the peer to follow, SO_LINGER zero, close. One story,
/// which the FIN begins and the reset ends.
pub(crate) fn c8(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.shutdown(How::Both);
    peer.await_peer_fin();
    lab.await_state(&us, State::FinWait2);
    // The time that the peer is given is the scenario.
    let_pass(Duration::from_millis(300));
    us.linger(0);
    us.close();
    peer.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_sent", "cause": "linger_zero", "first_close": "local", "local_action": "shutdown_both",
        "linger": {"mode": "zero", "configured_ms": 0}, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", 299.0, 5000.0);
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "linger": null, "bytes": Bytes::NONE,
        "reset": reset_received_in("CLOSE_WAIT"), "write_errors": {},
    }));
    peer.close();
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 1, ..Counters::NONE }
}

/// We are done right after our last write, the peer still sends: a reset, because of what has come (close), or
/// because of what comes later (shutdown of both sides).
pub(crate) fn c9(lab: &Lab) -> Counters {
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

/// The descriptors are shared with a forked child. A close by one holder does nothing, a shutdown by one holder
/// sends the FIN at once, and the last close is the act of the process that did it.
pub(crate) fn c10(lab: &Lab) -> Counters {
    let (closed, its_peer) = lab.pair();
    let (shut, other_peer) = lab.pair();
    let child = lab.cli.call(FORK_NAME, Act::Fork).expect("forking");
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

    let last_close = Command { name: closed.name.clone(), act: Act::Close };
    lab.cli.call(FORK_NAME, Act::In(Box::new(last_close))).expect("closing");
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
