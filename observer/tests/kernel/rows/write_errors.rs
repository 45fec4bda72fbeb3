//! Which failing writes are reported, and with what cause. (More of them are among the other rows.)

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::actor::{Act, Disposition, How, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::raw::{self, Missing};
use crate::report::Report;

/// More than a socket takes while nobody reads.
const MUCH: usize = 64 << 20;

/// The size of a page, or less.
const PAGE: u64 = 4096;

/// A call that blocks and has sent something is cut short by a reset: it returns the bytes. The next one fails.
fn is_cut_short(us: &End<'_>, long: Act, call: i64, end: impl FnOnce()) -> u64 {
    us.begin_to(long, call);
    end();
    us.actor.answer().expect("a call that has sent something returns how much")
}

/// The lines of a reset that the peer sent: our verdict.
fn reset_by(lab: &Lab, us: &End<'_>, peer: &End<'_>, cause: &str) -> Report {
    lab.close_of(peer).shows(&json!({"outcome": "reset_sent", "cause": cause}));
    let verdict = lab.close_of(us);
    verdict.shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "write_errors": {}}));
    verdict
}

fn shows_error(lab: &Lab, us: &End<'_>, close_id: &Value, errno: &str, cause: &str) {
    lab.write_error_of(us).shows(&json!({
        "close_id": close_id, "errno": errno, "sigpipe": false, "cause": cause,
    }));
}

/// sendfile() is cut short by a reset: nobody is told ECONNRESET. The next one fails with EPIPE.
pub(crate) fn w1_sendfile(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let long = Act::Sendfile { from: 0, bytes: MUCH, by_position: false };
    let sent = is_cut_short(&us, long, libc::SYS_sendfile, || peer.close());
    assert!(sent > PAGE, "sendfile() has sent {sent} bytes");
    let verdict = reset_by(lab, &us, &peer, "unread_data");
    us.fails_to(Act::Sendfile { from: sent, bytes: MUCH, by_position: false }, Errno::EPIPE);
    shows_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 2, ..Counters::NONE }
}

/// As [`w1_sendfile`], with less than a page sent. The file is sent from a place inside a page, which is given as the
/// argument or is the file's own.
pub(crate) fn w1_first_page(lab: &Lab) -> Counters {
    // How much one segment takes before the next one must wait for memory.
    let (us, peer) = narrow(lab);
    let segment = us.call(Act::Send { bytes: 1 << 20, flags: libc::MSG_DONTWAIT }).expect("sending");
    peer.hear_again();
    us.close();
    peer.receive_to_end(segment);
    peer.close();
    for end in [&us, &peer] {
        lab.close_of(end).shows(&json!({"outcome": "graceful", "write_errors": {}}));
    }

    for by_position in [false, true] {
        let (us, peer) = narrow(lab);
        us.send(usize::try_from(segment - PAGE / 8).expect("a size that fits"));
        let long = Act::Sendfile { from: PAGE / 4, bytes: MUCH, by_position };
        let sent = is_cut_short(&us, long, libc::SYS_sendfile, || {
            peer.linger(0);
            peer.close();
        });
        assert_eq!(sent, PAGE / 8, "what sendfile() has sent");
        let verdict = reset_by(lab, &us, &peer, "linger_zero");
        us.fails_to(Act::Sendfile { from: 0, bytes: 100, by_position }, Errno::EPIPE);
        shows_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
        us.close();
    }
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 4, ..Counters::NONE }
}

/// A connection on which a segment leaves when it is full, and nothing is acknowledged.
fn narrow(lab: &Lab) -> (End<'_>, End<'_>) {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::SendBuffer(1));
    us.set(SocketOption::Cork);
    (us, peer)
}

/// sendfile() fails at once, from a place inside a page: each error is returned, and reported.
pub(crate) fn w2_sendfile(lab: &Lab) -> Counters {
    for by_position in [false, true] {
        let (us, peer) = lab.pair();
        peer.linger(0);
        peer.close();
        us.await_gone();
        let verdict = reset_by(lab, &us, &peer, "linger_zero");
        for errno in [Errno::ECONNRESET, Errno::EPIPE] {
            us.fails_to(Act::Sendfile { from: PAGE / 4, bytes: MUCH, by_position }, errno);
            shows_error(lab, &us, &verdict.value("/id"), &format!("{errno:?}"), "peer_reset");
        }
        us.close();
    }
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 4, ..Counters::NONE }
}

/// splice() is cut short by a reset, and the next one fails. Where splice() meets the reset at once, it cannot be known
/// whether it has sent something before: that error is not reported, but the next one is.
pub(crate) fn w3_splice(lab: &Lab) -> Counters {
    let splice = Act::Splice { bytes: 1 << 20 };
    let (us, peer) = lab.pair();
    us.set(SocketOption::SendBuffer(1));
    let sent = is_cut_short(&us, splice, libc::SYS_splice, || peer.close());
    assert!(sent > 0, "splice() has sent nothing");
    let verdict = reset_by(lab, &us, &peer, "unread_data");
    us.fails_to(Act::Splice { bytes: 100 }, Errno::EPIPE);
    shows_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();

    let (us, peer) = lab.pair();
    peer.linger(0);
    peer.close();
    us.await_gone();
    let verdict = reset_by(lab, &us, &peer, "linger_zero");
    us.fails_to(Act::Splice { bytes: 100 }, Errno::ECONNRESET);
    us.fails_to(Act::Splice { bytes: 100 }, Errno::EPIPE);
    shows_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();
    Counters { resets_sent: 2, abort_on_close: 1, abort_on_data: 1, established_reset: 4, ..Counters::NONE }
}

/// A write after shutdown() kills the process by SIGPIPE.
pub(crate) fn w4_killed(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.actor.call("", Act::Sigpipe(Disposition::Kills)).expect("setting what SIGPIPE does");
    us.shutdown(How::Write);
    us.actor.begin(&us.name, Act::Send { bytes: 10, flags: 0 });
    us.actor.dies_of(Signal::SIGPIPE);
    peer.receive_to_end(0);
    peer.close();

    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "graceful", "first_close": "local", "local_action": "shutdown_write", "write_errors": {"EPIPE": 1},
    }));
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": true, "cause": "local_shutdown",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters::NONE
}

/// An upload is refused: the peer answers, shuts down writing and closes with the upload unread. We have been blocked in
/// send() since before the FIN, and nothing was written after it.
pub(crate) fn w5_reset_after_fin(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    // Of a fixed size: the kernel would make it larger when the FIN comes.
    us.set(SocketOption::SendBuffer(1 << 16));
    us.fill();
    us.begin_to(Act::Send { bytes: 10, flags: 0 }, libc::SYS_sendto);
    peer.shutdown(How::Write);
    lab.await_state(&us, State::CloseWait);
    peer.close();
    assert_eq!(us.actor.answer(), Err(Errno::EPIPE), "the send that was blocked");
    us.send_fails(Errno::EPIPE);

    lab.close_of(&peer).shows(&json!({"outcome": "reset_sent", "cause": "unread_data"}));
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "bytes": {"after_peer_fin": 0},
    }));
    for _ in 0..2 {
        shows_error(lab, &us, &verdict.value("/id"), "EPIPE", "reset_after_peer_fin");
    }
    us.close();
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}

/// With IP_RECVERR an ICMP message makes one write fail. The connection goes on, and ends in order.
pub(crate) fn w6_icmp(lab: &Lab) -> Counters {
    for (missing, errno) in [(Missing::Port, Errno::ECONNREFUSED), (Missing::Host, Errno::EHOSTUNREACH)] {
        let (us, peer) = lab.pair();
        us.set(SocketOption::PassIcmpErrors);
        let sequence = us.call(Act::NextSequence).expect("asking for a sequence number");
        let sequence = u32::try_from(sequence).expect("a sequence number");
        peer.silence();
        us.send(100);
        let message = || raw::unreachable(missing, us.local, us.remote, sequence);
        lab.netns.run(message).expect("sending an ICMP message");
        // POLLERR: the error is there.
        us.await_gone();
        us.send_fails(errno);
        let name = format!("{errno:?}");
        lab.write_error_of(&us).shows(&json!({
            "close_id": null, "errno": name, "sigpipe": false, "cause": "icmp_error",
            "since_peer_fin_ms": null, "since_reset_ms": null,
        }));
        peer.hear_again();
        us.send(100);
        peer.receive(200);
        us.await_acked();
        us.close();
        peer.receive_to_end(0);
        peer.close();
        lab.close_of(&us).shows(&json!({"outcome": "graceful", "write_errors": {name: 1}}));
        lab.close_of(&peer).shows(&json!({"outcome": "graceful", "write_errors": {}}));
    }
    Counters::NONE
}

/// The address of the data is wrong. The connection goes on, and its verdict has the failed write.
pub(crate) fn w7_fault(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.fails_to(Act::SendFromNowhere, Errno::EFAULT);
    shows_error(lab, &us, &Value::Null, "EFAULT", "invalid_argument");
    us.send(100);
    peer.receive(100);
    us.await_acked();
    us.close();
    peer.receive_to_end(0);
    peer.close();
    lab.close_of(&us).shows(&json!({"outcome": "graceful", "write_errors": {"EFAULT": 1}}));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "write_errors": {}}));
    Counters::NONE
}

/// shutdown() gives up a connection that was never made. The write that follows gets ECONNRESET, though the peer has sent
/// nothing.
pub(crate) fn w8_given_up(lab: &Lab) -> Counters {
    let us = lab.connecting(lab.silent_listener());
    us.shutdown(How::Read);
    us.send_fails(Errno::ECONNRESET);
    let error = lab.write_error_of(&us);
    error.shows(&json!({
        "errno": "ECONNRESET", "sigpipe": false, "cause": "destroyed",
        "since_peer_fin_ms": null, "since_reset_ms": null,
    }));
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "local_action": "shutdown_read",
        "write_errors": {"ECONNRESET": 1}, "error": "ECONNRESET", "evidence": "exact",
    }));
    Counters::NONE
}

/// sendto(MSG_FASTOPEN) on a socket that is connecting already.
pub(crate) fn w9_already(lab: &Lab) -> Counters {
    let us = lab.connecting(lab.silent_listener());
    us.fails_to(Act::Send { bytes: 10, flags: libc::MSG_FASTOPEN }, Errno::EALREADY);
    shows_error(lab, &us, &Value::Null, "EALREADY", "not_connected");
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "write_errors": {"EALREADY": 1},
    }));
    Counters::NONE
}
