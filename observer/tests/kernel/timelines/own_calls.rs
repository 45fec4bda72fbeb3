//! The process's own calls: failing writes, and a lingering close().

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::actor::{Action, How};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{Peer, RST};
use crate::report::Bytes;
use crate::wait::let_pass;

rows![
    write_error_in_living_connection,
    write_after_shutdown_in_fin_wait2,
    linger_ended_by_rst_then_signal,
    linger_acked_then_signal,
    linger_ended_by_fin,
    shutdown_read_then_data_then_close,
];

/// A write from an invalid address fails, and the connection goes on.
fn write_error_in_living_connection(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    assert_eq!(us.call(Action::SendFromNowhere), Err(Errno::EFAULT), "writing");
    lab.write_error_of(&us).shows(&json!({
        "errno": "EFAULT", "sigpipe": false, "cause": "invalid_argument",
        "since_peer_fin_ms": null, "since_reset_ms": null,
    }));
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    let mut expected = graceful("orderly", "local", "close");
    expected["write_errors"] = json!({"EFAULT": 1});
    lab.close_of(&us).shows(&expected);
    Counters::NONE
}

/// We write after our own shutdown, while the peer may still send.
fn write_after_shutdown_in_fin_wait2(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    us.send_fails(Errno::EPIPE);
    peer.fin();
    peer.expect_ack();
    let verdict = lab.close_of(&us);
    let mut expected = graceful("orderly", "local", "shutdown_write");
    expected["write_errors"] = json!({"EPIPE": 1});
    verdict.shows(&expected);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "local_shutdown",
    }));
    us.close();
    Counters::NONE
}

/// The time from close() to an unrelated signal.
const LATER: Duration = Duration::from_millis(100);

/// The peer's RST ends a lingering close(). A later signal did not interrupt it.
fn linger_ended_by_rst_then_signal(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.linger(30);
    us.send(100);
    peer.expect_data(100);
    us.begin_close();
    peer.expect_fin();
    peer.send(peer.segment(RST));
    us.await_close();
    let_pass(LATER);
    us.actor.signal(Signal::SIGUSR1);
    let verdict = lab.close_of(&us);
    verdict.shows(&reset_by_peer("peer_reset", "FIN_WAIT1", "local", "close")).shows(&json!({
        "linger": {"mode": "timed", "configured_ms": 30_000},
        "bytes": Bytes { unacked: 100, ..Bytes::NONE },
    }));
    let result = verdict.value("/linger/result");
    assert!(result != "interrupted" && result != "expired", "linger ended by {result}");
    Counters::NONE
}

/// As [`linger_ended_by_rst_then_signal`], but the peer's ACK ends it.
fn linger_acked_then_signal(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.linger(30);
    us.send(100);
    us.begin_close();
    peer.expect_data_and_fin(100);
    peer.ack();
    us.await_close();
    let_pass(LATER);
    us.actor.signal(Signal::SIGUSR1);
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close")).shows(&json!({
        "linger": {"mode": "timed", "configured_ms": 30_000, "result": "acked"},
    }));
    Counters::NONE
}

/// shutdown() of the read side sends nothing. The peer's later data is still queued, and unread at close().
fn shutdown_read_then_data_then_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Read);
    peer.data(10);
    peer.expect_ack();
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}

/// The peer's FIN acknowledges everything, so close() returns and the connection ends at once.
fn linger_ended_by_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.linger(30);
    us.begin_close();
    peer.expect_fin();
    peer.fin();
    us.await_close();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close")).shows(&json!({
        "linger": {"mode": "timed", "configured_ms": 30_000, "result": "acked"},
    }));
    Counters::NONE
}
