//! The error codes and the states behind them.

use nix::errno::Errno;
use serde_json::json;

use crate::actor::{Act, How, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::{CLOSED_PORT, Lab};
use crate::netns::State;
use crate::raw;
use crate::report::{Bytes, linger_off, reset_received_in};

/// The peer shuts down its write side; we go on writing, then close. Nothing is lost.
pub(crate) fn b1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.shutdown(How::Write);
    us.await_peer_fin();
    for _ in 0..3 {
        us.send(100);
    }
    peer.receive(300);
    us.await_acked();
    us.close();
    peer.receive_to_end(0);

    let verdict = lab.close_of(&peer);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", 0.0, 5000.0);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin: 300, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", 0.0, 5000.0);
    peer.close();
    Counters::NONE
}

/// Writes on a socket that never tried to connect (EPIPE, and no connection to report), and on one that still does
/// (EAGAIN, which is no error); closing that one abandons the attempt.
pub(crate) fn b4(lab: &Lab) -> Counters {
    let us = lab.unopened();
    us.send_fails(Errno::EPIPE);
    lab.write_error_of(&us).shows(&json!({
        "close_id": null, "errno": "EPIPE", "sigpipe": false, "cause": "not_connected",
        "since_peer_fin_ms": null, "since_reset_ms": null,
    }));
    us.close();

    let us = lab.connecting(lab.silent_listener());
    assert_eq!(us.call(Act::Send { bytes: 10, flags: 0 }), Err(Errno::EAGAIN), "writing while connecting");
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "first_close": "none", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    Counters::NONE
}

/// We connect to a port where nobody listens.
pub(crate) fn b5(lab: &Lab) -> Counters {
    let us = lab.fails_to_connect(CLOSED_PORT, Errno::ECONNREFUSED);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none", "linger": null,
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    // The reset is told from the side that sent it: the closed port.
    lab.reset_of(&us.other()).shows(&json!({
        "cause": "closed_port",
        "connection": {"remote": {"port": verdict.value("/connection/local/port")}},
    }));
    us.close();
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}

/// We write to a descriptor that is closed: EBADF, which TCP never hears of.
pub(crate) fn b6(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    lab.await_state(&us, State::CloseWait);
    lab.await_state(&peer, State::FinWait2);
    assert_eq!(us.call(Act::CloseThenSend), Err(Errno::EBADF), "writing to a closed descriptor");
    for end in [&us, &peer] {
        lab.close_of(end).shows(&json!({"outcome": "graceful", "local_action": "close", "write_errors": {}}));
    }
    Counters::NONE
}

/// We connect to an address that does not answer, until the kernel gives up.
pub(crate) fn b7(lab: &Lab) -> Counters {
    // The least that can be set: two seconds, three before Linux 6.5.
    lab.netns.set("ipv4/tcp_syn_retries", "1");
    let us = lab.fails_to_connect(lab.silent_listener(), Errno::ETIMEDOUT);
    lab.close_of(&us).shows(&json!({
        "outcome": "timed_out", "cause": "connect_timeout", "first_close": "none", "local_action": "none",
        "linger": null, "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    us.close();
    Counters { attempts_failed: 1, abort_on_timeout: 1, ..Counters::NONE }
}

/// The peer does not answer our keepalive probes: the kernel gives up, and says so by a reset.
pub(crate) fn b8_keepalive(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::Keepalive { idle: 1, interval: 1, count: 1 });
    us.await_gone();
    timed_out(lab, &us, "keepalive_timeout", "local", Bytes::NONE);
    Counters { resets_sent: 1, abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// TCP_USER_TIMEOUT passes with data unacknowledged: the kernel gives up in silence.
pub(crate) fn b8_user_timeout(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::UserTimeout(300));
    us.send(100);
    us.await_gone();
    timed_out(lab, &us, "retransmit_timeout", "none", Bytes { unacked: 100, ..Bytes::NONE });
    Counters { abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// As [`b8_user_timeout`], and a router has said meanwhile that there is no such host: the process is told that.
pub(crate) fn b8_unreachable(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let sequence = us.call(Act::NextSequence).expect("asking for a sequence number");
    let sequence = u32::try_from(sequence).expect("a sequence number");
    peer.silence();
    us.set(SocketOption::UserTimeout(300));
    us.send(100);
    let message = || raw::unreachable(raw::Missing::Host, us.local, us.remote, sequence);
    lab.netns.run(message).expect("sending an ICMP message");
    us.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "timed_out", "cause": "retransmit_timeout", "first_close": "none", "local_action": "none",
        "bytes": Bytes { unacked: 100, ..Bytes::NONE }, "reset": null, "evidence": "inferred",
    }));
    us.send_fails(Errno::EHOSTUNREACH);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EHOSTUNREACH", "sigpipe": false, "cause": "timeout",
    }));
    us.close();
    Counters { abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

fn timed_out(lab: &Lab, us: &End<'_>, cause: &str, first_close: &str, bytes: Bytes) {
    let verdict = lab.close_of(us);
    verdict.shows(&json!({
        "outcome": "timed_out", "cause": cause, "first_close": first_close, "local_action": "none",
        "linger": null, "half_closed": {"local_ms": null, "remote_ms": null}, "bytes": bytes, "write_errors": {},
    }));
    us.send_fails(Errno::ETIMEDOUT);
    lab.write_error_of(us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ETIMEDOUT", "sigpipe": false, "cause": "timeout",
    }));
    us.close();
}
