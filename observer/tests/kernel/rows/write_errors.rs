//! Failing writes, and the causes that the observer reports for them. Other files have more of them.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::actor::{Action, Disposition, How, SocketOption};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::raw::{self, Unreachable};
use crate::report::Report;

rows![
    sendfile_cut_short,
    sendfile_cut_short_in_first_page,
    sendfile_after_reset,
    splice_cut_short,
    write_killed_by_sigpipe,
    blocked_send_reset_after_fin,
    write_fails_by_icmp_error,
    write_from_invalid_address,
    write_after_shutdown_in_connect,
    fastopen_write_while_connecting,
    write_to_closed_descriptor,
];

/// More bytes than a socket takes while the peer does not read.
const MORE_THAN_FITS: usize = 64 << 20;

/// The smallest page size that Linux uses, in bytes.
const PAGE: u64 = 4096;

/// A call that blocks after it has sent something is cut short by RST. It returns the bytes sent; the next call fails.
fn cut_short_by_reset(us: &End<'_>, long: Action, call: i64, end: impl FnOnce()) -> u64 {
    us.begin_blocking(long, call);
    end();
    us.actor.answer().expect("a call that sent something returns the number of bytes")
}

/// Checks both verdicts of a connection that the peer's RST ended, and returns ours.
fn verdict_of_reset(lab: &Lab, us: &End<'_>, peer: &End<'_>, cause: &str) -> Report {
    lab.close_of(peer).shows(&json!({"outcome": "reset_sent", "cause": cause}));
    let verdict = lab.close_of(us);
    verdict.shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "write_errors": {}}));
    verdict
}

fn check_write_error(lab: &Lab, us: &End<'_>, close_id: &Value, errno: &str, cause: &str) {
    lab.write_error_of(us).shows(&json!({
        "close_id": close_id, "errno": errno, "sigpipe": false, "cause": cause,
    }));
}

/// RST cuts sendfile() short: it returns the bytes sent, so no call fails with ECONNRESET. The next one fails with
/// EPIPE.
fn sendfile_cut_short(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let long = Action::Sendfile { from: 0, bytes: MORE_THAN_FITS, by_position: false };
    let sent = cut_short_by_reset(&us, long, libc::SYS_sendfile, || peer.close());
    assert!(sent > PAGE, "sendfile() has sent {sent} bytes");
    let verdict = verdict_of_reset(lab, &us, &peer, "unread_data");
    us.fails(Action::Sendfile { from: sent, bytes: MORE_THAN_FITS, by_position: false }, Errno::EPIPE);
    check_write_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 2, ..Counters::NONE }
}

/// As [`sendfile_cut_short`], with less than a page sent. The file is read from an offset inside a page. The offset is
/// the call's argument or the file's own position.
fn sendfile_cut_short_in_first_page(lab: &Lab) -> Counters {
    // The bytes that fit one segment before the next one must wait for memory.
    let (us, peer) = corked_and_unacknowledged(lab);
    let segment = us.call(Action::Send { bytes: 1 << 20, flags: libc::MSG_DONTWAIT }).expect("sending");
    peer.hear_again();
    us.close();
    peer.receive_to_end(segment);
    peer.close();
    for end in [&us, &peer] {
        lab.close_of(end).shows(&json!({"outcome": "graceful", "write_errors": {}}));
    }

    for by_position in [false, true] {
        let (us, peer) = corked_and_unacknowledged(lab);
        us.send(usize::try_from(segment - PAGE / 8).expect("a size that fits"));
        let long = Action::Sendfile { from: PAGE / 4, bytes: MORE_THAN_FITS, by_position };
        let sent = cut_short_by_reset(&us, long, libc::SYS_sendfile, || {
            peer.linger(0);
            peer.close();
        });
        assert_eq!(sent, PAGE / 8, "bytes sent by sendfile()");
        let verdict = verdict_of_reset(lab, &us, &peer, "linger_zero");
        us.fails(Action::Sendfile { from: 0, bytes: 100, by_position }, Errno::EPIPE);
        check_write_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
        us.close();
    }
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 4, ..Counters::NONE }
}

/// A connection on which only full segments leave, and nothing is acknowledged.
fn corked_and_unacknowledged(lab: &Lab) -> (End<'_>, End<'_>) {
    let (us, peer) = lab.pair();
    peer.silence();
    us.set(SocketOption::SendBuffer(1));
    us.set(SocketOption::Cork);
    (us, peer)
}

/// sendfile() fails at once, from an offset inside a page. Each error is returned and reported.
fn sendfile_after_reset(lab: &Lab) -> Counters {
    for by_position in [false, true] {
        let (us, peer) = lab.pair();
        peer.linger(0);
        peer.close();
        us.await_gone();
        let verdict = verdict_of_reset(lab, &us, &peer, "linger_zero");
        for errno in [Errno::ECONNRESET, Errno::EPIPE] {
            us.fails(Action::Sendfile { from: PAGE / 4, bytes: MORE_THAN_FITS, by_position }, errno);
            check_write_error(lab, &us, &verdict.value("/id"), &format!("{errno:?}"), "peer_reset");
        }
        us.close();
    }
    Counters { resets_sent: 2, abort_on_data: 2, established_reset: 4, ..Counters::NONE }
}

/// RST cuts splice() short, and the next one fails. A splice() that meets the RST at once may have sent something
/// before. Its error is not reported, but the next one is.
fn splice_cut_short(lab: &Lab) -> Counters {
    let splice = Action::Splice { bytes: 1 << 20 };
    let (us, peer) = lab.pair();
    us.set(SocketOption::SendBuffer(1));
    let sent = cut_short_by_reset(&us, splice, libc::SYS_splice, || peer.close());
    assert!(sent > 0, "splice() has sent nothing");
    let verdict = verdict_of_reset(lab, &us, &peer, "unread_data");
    us.fails(Action::Splice { bytes: 100 }, Errno::EPIPE);
    check_write_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();

    let (us, peer) = lab.pair();
    peer.linger(0);
    peer.close();
    us.await_gone();
    let verdict = verdict_of_reset(lab, &us, &peer, "linger_zero");
    us.fails(Action::Splice { bytes: 100 }, Errno::ECONNRESET);
    us.fails(Action::Splice { bytes: 100 }, Errno::EPIPE);
    check_write_error(lab, &us, &verdict.value("/id"), "EPIPE", "peer_reset");
    us.close();
    Counters { resets_sent: 2, abort_on_close: 1, abort_on_data: 1, established_reset: 4, ..Counters::NONE }
}

/// A write after shutdown() kills the process by SIGPIPE.
fn write_killed_by_sigpipe(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.actor.call("", Action::Sigpipe(Disposition::Kills)).expect("setting what SIGPIPE does");
    us.shutdown(How::Write);
    us.actor.begin(&us.name, Action::Send { bytes: 10, flags: 0 });
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

/// A server refuses an upload: it answers, shuts down writing and closes with the upload unread. We have been blocked
/// in send() since before the FIN, so nothing was written after it.
fn blocked_send_reset_after_fin(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    // A fixed size: otherwise the kernel enlarges the buffer when the FIN comes.
    us.set(SocketOption::SendBuffer(1 << 16));
    us.fill();
    us.begin_blocking(Action::Send { bytes: 10, flags: 0 }, libc::SYS_sendto);
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
        check_write_error(lab, &us, &verdict.value("/id"), "EPIPE", "reset_after_peer_fin");
    }
    us.close();
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}

/// With IP_RECVERR an ICMP message makes one write fail. The connection goes on and ends in order.
fn write_fails_by_icmp_error(lab: &Lab) -> Counters {
    for (what, errno) in [(Unreachable::Port, Errno::ECONNREFUSED), (Unreachable::Host, Errno::EHOSTUNREACH)]
    {
        let (us, peer) = lab.pair();
        us.set(SocketOption::PassIcmpErrors);
        let sequence = us.call(Action::NextSequence).expect("asking for a sequence number");
        let sequence = u32::try_from(sequence).expect("a sequence number");
        peer.silence();
        us.send(100);
        let message = || raw::send_unreachable(what, us.local, us.remote, sequence);
        lab.netns.run(message).expect("sending an ICMP message");
        // POLLERR shows that the error is pending.
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

/// The data's address is invalid. The connection goes on, and its verdict counts the failed write.
fn write_from_invalid_address(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.fails(Action::SendFromNowhere, Errno::EFAULT);
    check_write_error(lab, &us, &Value::Null, "EFAULT", "invalid_argument");
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

/// shutdown() gives up a connection attempt. The next write fails with ECONNRESET although the peer sent nothing.
fn write_after_shutdown_in_connect(lab: &Lab) -> Counters {
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

/// sendto(MSG_FASTOPEN) on a socket that is already connecting.
fn fastopen_write_while_connecting(lab: &Lab) -> Counters {
    let us = lab.connecting(lab.silent_listener());
    us.fails(Action::Send { bytes: 10, flags: libc::MSG_FASTOPEN }, Errno::EALREADY);
    check_write_error(lab, &us, &Value::Null, "EALREADY", "not_connected");
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "write_errors": {"EALREADY": 1},
    }));
    Counters::NONE
}

/// B6. We write to a closed descriptor: EBADF, which never reaches TCP.
fn write_to_closed_descriptor(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    lab.await_state(&us, State::CloseWait);
    lab.await_state(&peer, State::FinWait2);
    assert_eq!(us.call(Action::CloseThenSend), Err(Errno::EBADF), "writing to a closed descriptor");
    for end in [&us, &peer] {
        lab.close_of(end).shows(&json!({"outcome": "graceful", "local_action": "close", "write_errors": {}}));
    }
    Counters::NONE
}
