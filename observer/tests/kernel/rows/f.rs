//! Ends by reset that no other row has.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::actor::{Act, How, SocketOption};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::{Netns, State};
use crate::raw;
use crate::report::{Bytes, reset_received_in, reset_sent_in};
use crate::wait::let_pass;

/// connect(AF_UNSPEC) on a connection: a reset, and the socket lives on without it.
pub(crate) fn f1(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.call(Act::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "disconnect",
        "linger": null, "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "reset": reset_received_in("ESTABLISHED"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// connect(AF_UNSPEC) after shutdown() of both sides with SO_LINGER zero: to the kernel's fields the same as close().
pub(crate) fn f9(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.linger(0);
    us.shutdown(How::Both);
    lab.await_state(&us, State::FinWait2);
    us.call(Act::Disconnect).expect("disconnecting");
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "shutdown_both",
        "linger": null, "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "reset": reset_received_in("CLOSE_WAIT"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// close() with a FIN that is not acknowledged, when there are more orphans than may be: tcp_max_orphans is none.
pub(crate) fn f10(lab: &Lab) -> Counters {
    let (first, first_peer) = lab.pair();
    let (us, peer) = lab.pair();
    first_peer.silence();
    peer.silence();
    first.close();
    // The kernel counts orphans every 100 ms.
    let_pass(Duration::from_millis(300));
    let before = Netns::set_machine("ipv4/tcp_max_orphans", "0");
    us.close();
    Netns::set_machine("ipv4/tcp_max_orphans", before.trim());
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "orphan_limit", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {}, "evidence": "exact",
    }));
    first_peer.hear_again();
    lab.await_state(&first, State::FinWait2);
    first_peer.close();
    lab.close_of(&first).shows(&json!({"outcome": "graceful"}));
    lab.close_of(&first_peer).shows(&json!({"outcome": "graceful"}));
    // The peer never hears of the reset: its own FIN goes to a port that nobody has.
    peer.hear_again();
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 2, abort_on_memory: 1, ..Counters::NONE }
}

/// As [`f10`], when the limit is lowered later: the timer that would send the FIN again finds one orphan too many.
pub(crate) fn f11(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.close();
    let before = Netns::set_machine("ipv4/tcp_max_orphans", "0");
    lab.await_out_of_state(&us, State::FinWait1);
    Netns::set_machine("ipv4/tcp_max_orphans", before.trim());
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "orphan_limit", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {}, "evidence": "exact",
    }));
    // As for f10's.
    peer.hear_again();
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 2, abort_on_memory: 1, ..Counters::NONE }
}

/// The last processes of a network namespace are killed, and nobody acknowledges their FINs. The namespace stays as long
/// as a socket that a process has made (`sk_net_refcnt`), so these end as they would anywhere.
pub(crate) fn f12(lab: &Lab) -> Counters {
    let other = lab.elsewhere();
    other.netns.set("ipv4/tcp_orphan_retries", "1");
    let (us, peer) = other.pair();
    us.silence();
    peer.silence();
    other.cli.kill(Signal::SIGKILL);
    other.srv.kill(Signal::SIGKILL);
    other.netns.let_go();
    for end in [&us, &peer] {
        other.close_of(end).shows(&json!({
            "outcome": "timed_out", "cause": "retransmit_timeout", "first_close": "local",
            "local_action": "killed", "bytes": Bytes::NONE, "reset": null, "write_errors": {},
            "evidence": "exact",
        }));
    }
    other.ends_silently();
    Counters::NONE
}

/// Segments that are not of the handshake, as from an older connection of the same ports: each is answered by a reset,
/// and the handshake goes on to whatever end.
pub(crate) fn f13(lab: &Lab) -> Counters {
    let port = lab.silent_listener();
    let send = |us: &End<'_>, flag, sequence| {
        let (from, to) = (us.remote, us.local);
        lab.netns.run(|| raw::send(from, to, flag, sequence)).expect("sending a segment");
    };
    let stray = |us: &End<'_>, sequence| {
        send(us, raw::Flag::Ack, sequence);
        lab.reset_of_unconnected(us).shows(&json!({"cause": "invalid_segment"}));
    };

    let us = lab.connecting(port);
    stray(&us, 1000);
    let peer = lab.accepted_at_last(&us);
    us.close();
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "reset": null,
        "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "orderly", "evidence": "exact"}));

    let us = lab.connecting(lab.silent_listener());
    stray(&us, 1000);
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "reset": null, "evidence": "exact",
    }));

    // The peer connects at the same time, and then thinks better of it.
    let us = lab.connecting(lab.silent_listener());
    send(&us, raw::Flag::Syn, 1000);
    stray(&us, 1001);
    send(&us, raw::Flag::Rst, 1001);
    us.await_gone();
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote",
        "reset": reset_received_in("SYN_RECV"), "evidence": "exact",
    }));
    Counters { resets_sent: 3, attempts_failed: 1, ..Counters::NONE }
}

/// TCP_LINGER2 below zero: close does not wait for the peer's FIN.
pub(crate) fn f2(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Linger2(-1));
    us.shutdown(How::Write);
    lab.await_state(&us, State::FinWait2);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger2_negative", "first_close": "local",
        "local_action": "shutdown_write", "bytes": Bytes::NONE,
        "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    Counters { resets_sent: 1, abort_on_linger: 1, established_reset: 1, ..Counters::NONE }
}

/// The same, where our FIN is only acknowledged when nobody has the socket any more.
pub(crate) fn f2_unacked(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Linger2(-1));
    peer.silence();
    us.close();
    lab.await_state(&us, State::FinWait1);
    peer.hear_again();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger2_negative", "first_close": "local",
        "local_action": "close", "bytes": Bytes::NONE,
        "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    // The kernel counts it as if data had come.
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 1, ..Counters::NONE }
}

/// The listener is closed with a connection that nobody has accepted.
pub(crate) fn f3(lab: &Lab) -> Counters {
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

/// `ss -K`: another process has the kernel end the connection, and it is the owner who is named and told.
pub(crate) fn f4(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    peer.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "evidence": "exact",
    }));
    us.send_fails(Errno::ECONNABORTED);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNABORTED", "sigpipe": false, "cause": "destroyed",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "reset": reset_received_in("ESTABLISHED"),
    }));
    us.close();
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// The time for an orphan to get the peer's FIN runs out: only when it became shorter meanwhile does the kernel send a
/// reset, since what is left of a minute it waits in a minisocket.
pub(crate) fn f5(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_fin_timeout", "61");
    let (us, peer) = lab.pair();
    us.close();
    lab.await_state(&us, State::FinWait2);
    lab.netns.set("ipv4/tcp_fin_timeout", "60");
    peer.await_gone();
    lab.close_of(&us).lasted("/half_closed/local_ms", 900.0, 2500.0).shows(&json!({
        "outcome": "reset_sent", "cause": "fin_wait2_timeout", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).lasted("/half_closed/remote_ms", 900.0, 2500.0).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// Closed in repair mode, as when a connection moves to another host: nothing is sent, and the peer learns of it only
/// when it sends something itself.
pub(crate) fn f6(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    us.set(SocketOption::Repair);
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "repair", "local_action": "close", "bytes": Bytes::NONE, "reset": null,
        "write_errors": {}, "evidence": "inferred",
    }));
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_received_in("FIN_WAIT1"), "write_errors": {},
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// An acknowledgement out of nowhere reaches a listener.
pub(crate) fn f7_listener(lab: &Lab) -> Counters {
    let us = lab.deaf();
    lab.netns.run(|| raw::send(us.local, us.remote, raw::Flag::Ack, 1000)).expect("sending a segment");
    lab.reset_of_unconnected(&us.other()).shows(&json!({"cause": "other"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// A second SYN, in the window of the first, whose connection the client has not acknowledged yet.
pub(crate) fn f7_embryonic(lab: &Lab) -> Counters {
    let us = lab.deaf();
    let send = |sequence| lab.netns.run(|| raw::send(us.local, us.remote, raw::Flag::Syn, sequence));
    send(1000).expect("sending a SYN");
    send(1010).expect("sending another");
    lab.reset_of_unconnected(&us.other()).shows(&json!({"cause": "embryonic"}));
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}

/// SO_LINGER zero on an MPTCP connection: MPTCP tells the peer by its own option (MP_FASTCLOSE), on a reset of the
/// only subflow.
pub(crate) fn f8(lab: &Lab) -> Counters {
    for actor in [&lab.cli, &lab.srv] {
        actor.call("", Act::Mptcp).expect("choosing a protocol");
    }
    let (us, peer) = lab.pair();
    us.send(10);
    peer.receive(10);
    peer.send(10);
    us.receive(10);
    us.linger(0);
    us.close();
    peer.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "mptcp", "first_close": "local", "bytes": Bytes::NONE,
        "reset": reset_sent_in("ESTABLISHED"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("ESTABLISHED"),
    }));
    peer.close();
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}
