//! The peer stops answering, and the kernel gives up an established connection.

use nix::errno::Errno;
use serde_json::json;

use crate::actor::{Action, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::raw;
use crate::report::Bytes;

rows![keepalive_unanswered, user_timeout, user_timeout_host_unreachable,];

/// B8. The peer does not answer our keepalive probes. The kernel gives up and sends RST.
fn keepalive_unanswered(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::Keepalive { idle: 1, interval: 1, count: 1 });
    us.await_gone();
    timed_out(lab, &us, "keepalive_timeout", "local", Bytes::NONE);
    Counters { resets_sent: 1, abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// B8. TCP_USER_TIMEOUT passes with data unacknowledged. The kernel gives up and sends nothing.
fn user_timeout(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::UserTimeout(300));
    us.send(100);
    us.await_gone();
    timed_out(lab, &us, "retransmit_timeout", "none", Bytes { unacked: 100, ..Bytes::NONE });
    Counters { abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// B8. As [`user_timeout`], after a router reported "host unreachable". The write then fails with that error.
fn user_timeout_host_unreachable(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let sequence = us.call(Action::NextSequence).expect("asking for a sequence number");
    let sequence = u32::try_from(sequence).expect("a sequence number");
    peer.silence();
    us.set(SocketOption::UserTimeout(300));
    us.send(100);
    let message = || raw::send_unreachable(raw::Unreachable::Host, us.local, us.remote, sequence);
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
