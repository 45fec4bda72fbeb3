//! close() and SO_LINGER.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::actor::{How, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};
use crate::wait::let_pass;

rows![
    close_with_queued_data,
    linger_zero,
    linger_acked,
    linger_expired,
    linger_expired_nonblocking,
    linger_interrupted,
    linger_suppressed_by_exit,
    shutdown_then_linger_zero,
];

/// C1. We close with data queued and SO_LINGER off. close() returns at once, and everything still arrives.
fn close_with_queued_data(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let written = us.fill();
    let (_, unsent) = us.queues();
    assert!(unsent > 0, "no data is queued at close()");
    us.close();
    peer.receive_to_end(written);
    // Otherwise the peer's FIN may acknowledge ours, and the verdict is `orderly`.
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

/// C2. We close with SO_LINGER zero: RST, and the queued data is thrown away. The first peer does not read: all sent
/// data is acknowledged, the rest waits for its window. The second peer does not even answer.
fn linger_zero(lab: &Lab) -> Counters {
    let thrown_away = |unacked, unsent| {
        json!({
            "outcome": "reset_sent", "cause": "linger_zero", "first_close": "local", "local_action": "close",
            "linger": {"mode": "zero", "configured_ms": 0},
            "bytes": Bytes { unacked, unsent, ..Bytes::NONE },
            "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
        })
    };

    let (us, peer) = lab.pair();
    let written = us.fill();
    let (_, unsent) = us.queues();
    assert!(unsent > 0, "no data is queued at close()");
    us.linger(0);
    us.close();
    peer.await_gone();
    // A window probe may have carried some of it meanwhile, so the peer's queue is what counts.
    lab.close_of(&us).shows(&thrown_away(0, written - peer.unread()));
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
    // The second peer does not receive the RST either: its end stays open.
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 3, ..Counters::NONE }
}

/// C3. SO_LINGER is two seconds and the peer reads. close() waits for the acknowledgement, which comes.
fn linger_acked(lab: &Lab) -> Counters {
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

/// C4. SO_LINGER is one second and the peer does not answer. close() returns after that second without an error and
/// without RST. The kernel goes on trying, and the verdict comes when the peer answers at last.
fn linger_expired(lab: &Lab) -> Counters {
    close_until_linger_expires(lab, |_| {})
}

/// C5. As [`linger_expired`], on a non-blocking socket. On Linux this makes no difference.
fn linger_expired_nonblocking(lab: &Lab) -> Counters {
    close_until_linger_expires(lab, |us| us.set(SocketOption::NonBlocking))
}

fn close_until_linger_expires(lab: &Lab, prepare: fn(&End<'_>)) -> Counters {
    let (us, peer) = silent_peer(lab, 1);
    prepare(&us);
    us.close();
    // Reported when the timer expires, not when the connection ends.
    lab.linger_expired_of(&us).shows(&json!({"configured_ms": 1000}));
    answer_at_last(lab, &us, &peer);
    let verdict = lab.close_of(&us);
    verdict.shows(&lingered("timed", 1000, &json!("expired"), "close"));
    verdict.lasted("/linger/waited_ms", 1000.0, 2000.0);
    Counters::NONE
}

/// C6. As [`linger_expired`] with a long time, but a signal interrupts the wait.
fn linger_interrupted(lab: &Lab) -> Counters {
    let (us, peer) = silent_peer(lab, 60);
    us.begin_close();
    us.actor.signal(Signal::SIGUSR1);
    us.await_close();
    answer_at_last(lab, &us, &peer);
    let verdict = lab.close_of(&us);
    verdict.shows(&lingered("timed", 60_000, &json!("interrupted"), "close"));
    verdict.lasted("/linger/waited_ms", 0.0, 5000.0);
    Counters::NONE
}

/// C7. The process exits with a long SO_LINGER and data queued. The exit is not delayed.
fn linger_suppressed_by_exit(lab: &Lab) -> Counters {
    let (us, peer) = silent_peer(lab, 60);
    assert!(us.actor.exit().success(), "exit status");
    answer_at_last(lab, &us, &peer);
    lab.close_of(&us).shows(&lingered("suppressed", 60_000, &json!(null), "process_exit"));
    Counters::NONE
}

/// A connection with data in flight to a peer that does not answer.
fn silent_peer(lab: &Lab, linger: u64) -> (End<'_>, End<'_>) {
    let (us, peer) = lab.pair();
    us.linger(linger);
    peer.silence();
    us.send(100);
    (us, peer)
}

/// The peer of [`silent_peer`] receives everything after all, by a retransmission.
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

/// C8. We shut down both sides, give the peer time to follow, then close with SO_LINGER zero. It is one story: the FIN
/// begins it and the RST ends it.
fn shutdown_then_linger_zero(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.shutdown(How::Both);
    peer.await_peer_fin();
    lab.await_state(&us, State::FinWait2);
    // The time given to the peer is the scenario itself.
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
