//! The table of verdicts: scripts of events, and the expected words.

use super::{verdict::HalfClosedTimes, *};
use crate::{
    event::{Body, Flags, SockId, State},
    story::tests::{MS, Script},
    words::errno::{ECONNABORTED, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPIPE, ETIMEDOUT},
};

use State::{Close, CloseWait, Closing, FinWait1, FinWait2, LastAck, SynSent};

pub(super) const ABORTING: Flags = Flags {
    owned: true,
    has_socket: true,
    dead: false,
    done: false,
    keepalive: false,
    closing: false,
    mptcp: false,
    linger2_negative: false,
    soft_error: false,
    segment_seen: false,
    fin_leaves: None,
    retries_out: false,
    error_queued: false,
    fastopen: false,
    shutdown_call: false,
    shutdown_how: 0,
};
const ORPHAN: Flags = Flags { dead: true, has_socket: false, ..ABORTING };
const TIMER: Flags = Flags { owned: false, ..ABORTING };

pub(super) fn verdict(script: &Script) -> Verdict {
    classify(&script.story())
}

/// One row: the script, and outcome, cause, first_close and evidence in words.
fn check(what: &str, script: &Script, expected: [&str; 4]) {
    let found = verdict(script);
    let words =
        [found.head.outcome.word(), found.head.cause.word(), found.first_close.word(), found.evidence.word()];
    assert_eq!(words, expected, "{what}: {found:?}");
    assert!(
        found.head.cause.outcomes().contains(&found.head.outcome),
        "{what}: a pair that Cause::outcomes does not list"
    );
}

pub(super) fn opened() -> Script {
    Script::opened()
}

fn linger_zero() -> Script {
    opened().with(|socket| socket.linger_ms = Some(0))
}

fn unread() -> Script {
    opened().with(|socket| socket.copied_seq -= 7)
}

pub(super) fn failed(err: u32) -> impl FnOnce(&mut crate::event::Socket) {
    move |socket| socket.err = err
}

#[test]
fn closes_by_fin() {
    let both = opened().call_to(FinWait1, false).packet_to(FinWait2).done().packet_to(Close);
    check("shutdown, then the peer's FIN", &both, ["graceful", "orderly", "local", "exact"]);
    let last = opened().packet_to(CloseWait).close_to(LastAck).orphan_to(Close);
    check("the peer first", &last, ["graceful", "orderly", "remote", "exact"]);
    let crossed = opened().close_to(FinWait1).orphan_to(Closing).orphan_to(Close);
    check("both at once", &crossed, ["graceful", "orderly", "simultaneous", "exact"]);
    let open = opened().close_to(FinWait1).orphan_to(FinWait2).orphan_to(Close);
    check("minisocket", &open, ["graceful", "closed_first", "local", "exact"]);
}

#[test]
fn resets_that_our_side_decided() {
    let abort = |script: Script, reason| script.close_to(Close).reset_sent(true, reason, ABORTING);
    let exact = |cause| ["reset_sent", cause, "local", "exact"];
    for reason in [None, Some("TCP_ABORT_ON_CLOSE")] {
        check("A1", &abort(unread(), reason), exact("unread_data"));
    }
    for reason in [None, Some("TCP_STATE"), Some("TCP_DISCONNECT_WITH_DATA")] {
        check("A2", &abort(linger_zero(), reason), exact("linger_zero"));
        // The kernel checks for unread data first.
        let both = linger_zero().with(|socket| socket.copied_seq -= 1);
        if reason.is_none() {
            check("A1 with linger", &abort(both, reason), exact("unread_data"));
        }
        let orphan = |script: Script| script.reset_sent(true, reason, ORPHAN);
        let closed = || opened().close_to(FinWait1).orphan_to(FinWait2).orphan_to(Close);
        let negative = Flags { linger2_negative: true, ..ORPHAN };
        check("A3", &closed().reset_sent(true, reason, negative), exact("linger2_negative"));
        check("A4 after our FIN was acknowledged", &orphan(closed()), exact("orphan_limit"));
        check("A4", &orphan(opened().close_to(FinWait1).orphan_to(Close)), exact("orphan_limit"));
        let on_timer = |state| opened().close_to(FinWait1).orphan_to(state);
        let on_a_timer = Flags { owned: false, ..ORPHAN };
        let a5 = |flags| opened().close_to(FinWait1).reset_sent(true, reason, flags).orphan_to(Close);
        check("A5", &a5(on_a_timer), exact("orphan_limit"));
        check("A8 of an orphan", &a5(ORPHAN), exact("socket_destroyed"));
        let a6 =
            on_timer(FinWait2).reset_sent(true, reason, Flags { owned: false, ..ORPHAN }).orphan_to(Close);
        check("A6", &a6, exact("fin_wait2_timeout"));
        let a7 = opened().reset_sent(true, reason, Flags { keepalive: true, ..TIMER });
        let a7 = a7.with(failed(ETIMEDOUT)).packet_to(Close);
        check("A7", &a7, ["timed_out", "keepalive_timeout", "local", "exact"]);
        let a8 = opened().reset_sent(true, reason, ABORTING).with(failed(ECONNABORTED)).packet_to(Close);
        check("A8", &a8, exact("socket_destroyed"));
        let a9 = linger_zero().call_to(Close, false).reset_sent(true, reason, ABORTING);
        check("A9", &a9, exact("disconnect"));
        let a9 = linger_zero().call_to(FinWait1, true).packet_to(FinWait2).call_to(Close, true);
        check(
            "A9 after shutdown(SHUT_RDWR), as A2 but for the file",
            &a9.reset_sent(true, reason, ABORTING),
            ["reset_sent", "disconnect", "local", "exact"],
        );
        let a10 = opened().packet_to(Close).reset_sent(true, reason, Flags::default());
        check("A10", &a10, exact("never_accepted"));
    }
}

#[test]
fn a_reason_that_contradicts_the_fields_makes_no_exact_verdict() {
    let script = linger_zero().close_to(Close).reset_sent(true, Some("TCP_ABORT_ON_MEMORY"), ABORTING);
    check("name wins, inferred", &script, ["reset_sent", "orphan_limit", "local", "inferred"]);
    assert_eq!(verdict(&script).missing, [Missing::ResetCause]);
    // A timer that was deferred while the lock was held runs when it is released.
    let waited = opened().close_to(FinWait1).reset_sent(true, Some("TCP_ABORT_ON_MEMORY"), ORPHAN);
    check("A5 by its reason", &waited.orphan_to(Close), ["reset_sent", "orphan_limit", "local", "exact"]);
    let subflow = opened()
        .reset_sent(true, Some("TCP_ABORT_ON_CLOSE"), Flags { mptcp: true, ..TIMER })
        .packet_to(Close);
    check("MPTCP, by its flag", &subflow, ["reset_sent", "mptcp", "local", "exact"]);
    let mptcp = opened().reset_sent(true, Some("MPTCP_RST_EMPTCP"), TIMER).packet_to(Close);
    check("MPTCP", &mptcp, ["reset_sent", "mptcp", "local", "inferred"]);
}

#[test]
fn resets_that_a_segment_provoked() {
    let late = |reason| {
        let closed = opened().call_to(FinWait1, true).packet_to(FinWait2).reset_received().packet_to(Close);
        closed.reset_sent(false, reason, TIMER)
    };
    for reason in [None, Some("TCP_ABORT_ON_DATA")] {
        check("late data", &late(reason), ["reset_sent", "data_after_close", "local", "exact"]);
    }
    for reason in [None, Some("TCP_ABORT_ON_DATA")] {
        let negative = Flags { linger2_negative: true, ..TIMER };
        let acked = opened().close_to(FinWait1).orphan_to(Close).reset_sent(false, reason, negative);
        check("from FIN_WAIT1", &acked, ["reset_sent", "data_after_close", "local", "exact"]);
        let acked = opened().close_to(FinWait1).orphan_to(FinWait2).orphan_to(Close);
        let acked = acked.reset_sent(false, reason, negative);
        check("TCP_LINGER2, late FIN", &acked, ["reset_sent", "linger2_negative", "local", "exact"]);
    }
    check("bad segment", &late(Some("TCP_FLAGS")), ["reset_sent", "invalid_segment", "local", "exact"]);
    // tcp_rcv_synsent_state_process() answers a bad ACK, and the handshake goes on.
    let survived = opened().reset_sent(false, Some("TCP_INVALID_ACK_SEQUENCE"), TIMER);
    let survived = survived.packet_to(CloseWait).close_to(LastAck).orphan_to(Close);
    assert_ne!(
        verdict(&survived).head.outcome,
        Outcome::ResetSent,
        "a reset long before the end decides nothing"
    );
}

#[test]
fn resets_of_the_peer() {
    let reset = |script: Script, err| script.reset_received().with(failed(err)).packet_to(Close);
    check("plain", &reset(opened(), ECONNRESET), ["reset_received", "peer_reset", "remote", "exact"]);
    let half = opened().packet_to(CloseWait);
    let idle = reset(half.clone(), EPIPE);
    check("no data since", &idle, ["reset_received", "reset_after_peer_fin", "remote", "exact"]);
    let wrote = half.with(|socket| {
        socket.write_seq += 5;
        socket.snd_nxt += 5;
    });
    let wrote = reset(wrote, EPIPE);
    check("data since", &wrote, ["reset_received", "write_after_peer_fin", "remote", "exact"]);
    let bytes = verdict(&wrote).head.bytes;
    assert_eq!((bytes.after_peer_fin, bytes.unacked, bytes.unsent), (Some(5), Some(5), Some(0)));
    let ours = reset(opened().close_to(FinWait1), ECONNRESET);
    check("after our FIN", &ours, ["reset_received", "peer_reset", "local", "exact"]);
}

#[test]
fn the_verdict_of_an_older_connection_names_missing_evidence() {
    let old = Script::unseen().with(|socket| {
        socket.state = CloseWait;
        socket.snd_una -= 3;
    });
    let old = old.reset_received().with(failed(EPIPE)).packet_to(Close);
    check("wrote", &old, ["reset_received", "write_after_peer_fin", "remote", "inferred"]);
    let found = verdict(&old);
    assert_eq!(found.missing, [Missing::PeerFin, Missing::Opening, Missing::Process]);
    assert_eq!((found.duration_ns, found.head.opened_by), (None, None));
}

#[test]
fn attempts_that_fail() {
    let connecting = || {
        opened().with(|socket| {
            socket.state = SynSent;
            socket.snd_una = 899;
        })
    };
    let refused = connecting().reset_received().with(failed(ECONNREFUSED)).packet_to(Close);
    check("refused", &refused, ["refused", "refused", "none", "exact"]);
    let closed = verdict(&refused.destroyed(0));
    assert_eq!(closed.head.process.map(|task| task.comm.to_string()).as_deref(), Some("closer"));
    let silent = connecting().with(failed(ETIMEDOUT)).packet_to(Close);
    check("silence", &silent, ["timed_out", "connect_timeout", "none", "exact"]);
    let abandoned = connecting().close_to(Close);
    check("abandoned", &abandoned, ["aborted", "connect_abandoned", "none", "exact"]);
}

#[test]
fn stray_resets() {
    let cause =
        |state, reason: Option<&str>| stray_cause(state, reason.map(Into::into).as_ref(), false).word();
    assert_eq!(stray_cause(None, None, true), StrayCause::ClosedPort);
    assert_eq!(stray_cause(None, Some(&"NO_SOCKET".into()), true), StrayCause::ClosedPort);
    assert_eq!(cause(None, None), "other", "the port may be in use");
    assert_eq!(cause(None, Some("NO_SOCKET")), "other");
    assert_eq!(cause(Some(State::TimeWait), Some("TIMEWAIT_SOCKET")), "time_wait_data");
    assert_eq!(cause(Some(State::Listen), Some("INVALID_SYN")), "embryonic");
    assert_eq!(cause(Some(State::Listen), Some("TCP_FLAGS")), "other");
    assert_eq!(cause(None, Some("TCP_FLAGS")), "other");
    assert_eq!(cause(Some(SynSent), Some("TCP_INVALID_ACK_SEQUENCE")), "invalid_segment");
    // Before 6.10.
    assert_eq!(cause(Some(State::SynRecv), None), "invalid_segment");
    assert_eq!(cause(Some(State::Listen), None), "other");
    assert_eq!(stray_cause(Some(State::Listen), None, true), StrayCause::Embryonic);
}

#[test]
fn a_killer_is_no_owner() {
    let destroyed = opened().reset_sent(true, Some("TCP_STATE"), ABORTING).call_to(Close, false);
    let found = verdict(&destroyed);
    assert_eq!((found.head.cause, found.head.process), (Cause::SocketDestroyed, None));
    let found = verdict(&destroyed.destroyed(0));
    assert_eq!(found.head.process.map(|task| task.comm.to_string()).as_deref(), Some("closer"));
    // During the handshake nothing is sent.
    let connecting =
        opened().with(|socket| socket.state = SynSent).with(failed(ECONNABORTED)).call_to(Close, false);
    assert_eq!(verdict(&connecting).head.process, None);
    let disconnected = opened().call_to(Close, false).reset_sent(true, Some("TCP_STATE"), ABORTING);
    let found = verdict(&disconnected);
    assert_eq!(found.head.cause, Cause::Disconnect);
    assert_eq!(found.head.process.map(|task| task.comm.to_string()).as_deref(), Some("caller"));
}

#[test]
fn silence() {
    let silent = opened().with(|socket| socket.snd_una -= 9).with(failed(ETIMEDOUT)).packet_to(Close);
    check("retransmissions", &silent, ["timed_out", "retransmit_timeout", "none", "exact"]);
    assert_eq!(verdict(&silent).head.bytes.unacked, Some(9));
    // The process gets the last ICMP error (EHOSTUNREACH).
    let unreachable = opened().with(|socket| socket.snd_una -= 9).with(failed(EHOSTUNREACH)).packet_to(Close);
    check("host unreachable", &unreachable, ["timed_out", "retransmit_timeout", "none", "inferred"]);
    let connecting = || opened().with(|socket| socket.state = SynSent).with(failed(ENETUNREACH));
    check("ICMP", &connecting().packet_to(Close), ["refused", "icmp_error", "none", "exact"]);
    assert_eq!(verdict(&connecting().packet_to(Close)).error, ENETUNREACH);
    let soft = Flags { soft_error: true, retries_out: true, has_socket: true, ..Flags::default() };
    check(
        "no answer after ICMP",
        &connecting().packet_with(Close, soft),
        ["timed_out", "connect_timeout", "none", "inferred"],
    );
    let again = Flags { soft_error: true, has_socket: true, ..Flags::default() };
    let again = connecting().packet_with(Close, again);
    check("ICMP during connect(), and again", &again, ["refused", "icmp_error", "none", "exact"]);
}

#[test]
fn an_unacknowledged_last_fin_is_no_orderly_end() {
    let gone = opened().packet_to(CloseWait).close_to(LastAck).with(|socket| socket.snd_una -= 5);
    let gone = gone.orphan_to(Close);
    check("the kernel gave up", &gone, ["unknown", "unknown", "remote", "inferred"]);
    // Our FIN is one of the five.
    assert_eq!(verdict(&gone).head.bytes.unacked, Some(4));
}

#[test]
fn the_peers_fin_may_wait_for_a_lingering_close() {
    let lingering = opened().with(|socket| socket.linger_ms = Some(1000)).close_to(FinWait1);
    let script = lingering.close_to(FinWait2).done().close_to(Close);
    check("both in the backlog", &script, ["graceful", "orderly", "local", "exact"]);
}

#[test]
fn no_reset_is_sent_from_last_ack() {
    let script = linger_zero().packet_to(CloseWait).call_to(LastAck, false).close_to(Close);
    check("linger zero, all sent", &script, ["aborted", "linger_zero", "remote", "exact"]);
}

#[test]
fn causes_by_elimination() {
    let repair = opened().close_to(Close);
    check("repair mode", &repair, ["aborted", "repair", "none", "inferred"]);
    assert!(verdict(&repair).missing.is_empty());
    let mut gone = opened().close_to(FinWait1).orphan_to(Close).story();
    gone.end.as_mut().expect("an end").socket.flags.owned = true;
    assert_eq!(classify(&gone).head.cause, Cause::NetnsGone);
}

#[test]
fn a_lost_record_leaves_an_inferred_verdict_or_none() {
    check(
        "A1 without its reset",
        &unread().close_to(Close),
        ["reset_sent", "unread_data", "none", "inferred"],
    );
    let torn = opened().packet_to(Close);
    check("an end for no reason", &torn, ["unknown", "unknown", "unknown", "inferred"]);
    assert_eq!(verdict(&torn).missing, [Missing::Trigger, Missing::Process]);
    let cut = opened().close_to(FinWait1);
    check("no end", &cut, ["unknown", "unknown", "local", "inferred"]);
    assert_eq!(verdict(&cut).missing, [Missing::End]);
    assert_eq!(verdict(&cut).head.bytes, Bytes::default(), "the queues are unknown");
}

#[test]
fn half_closed_times_are_of_the_first_fin_only() {
    let remote = opened().packet_to(CloseWait).wait(299 * MS).close_to(LastAck).orphan_to(Close);
    assert_eq!(verdict(&remote).half_closed, HalfClosedTimes { local_ns: None, remote_ns: Some(300 * MS) });
    let local = opened().call_to(FinWait1, false).packet_to(FinWait2).wait(298 * MS).done().packet_to(Close);
    assert_eq!(verdict(&local).half_closed, HalfClosedTimes { local_ns: Some(300 * MS), remote_ns: None });
    let crossed = opened().close_to(FinWait1).orphan_to(Closing).orphan_to(Close);
    assert_eq!(verdict(&crossed).half_closed, HalfClosedTimes::default());
}

#[test]
fn our_reset_with_a_lost_record_is_no_other_exact_end() {
    let held = opened().call_to(FinWait1, true).packet_to(FinWait2);
    let disconnected = held.clone().call_to(Close, true);
    check("connect(AF_UNSPEC)", &disconnected, ["unknown", "unknown", "local", "inferred"]);
    let zero = held.with(|socket| socket.linger_ms = Some(0)).close_to(Close);
    check("SO_LINGER {on, 0}", &zero, ["reset_sent", "linger_zero", "local", "inferred"]);
    let late = opened().call_to(FinWait1, true).with(|socket| socket.data_segs_in = Some(1));
    let late = late.with(failed(ECONNRESET)).reset_received().packet_to(Close);
    check("late data", &late, ["reset_received", "peer_reset", "local", "inferred"]);
    let over = opened().packet_to(CloseWait).with(|socket| socket.data_segs_in = Some(1));
    let over = over.with(failed(EPIPE)).reset_received().packet_to(Close);
    check("over the FIN", &over, ["reset_received", "reset_after_peer_fin", "remote", "inferred"]);
    let keepalive = opened().with(failed(ETIMEDOUT)).packet_to(Close);
    check("keepalive", &keepalive, ["timed_out", "keepalive_timeout", "none", "inferred"]);
    assert_eq!(verdict(&keepalive).missing[0], Missing::Records);
}

#[test]
fn the_registers_show_the_direction_of_a_shutdown_while_connecting() {
    let by_shutdown = |how| {
        let mut script = opened().with(|socket| socket.state = SynSent).call_to(Close, false);
        let Some(Body::StateChange { socket, .. }) = script.events.last_mut().map(|event| &mut event.body)
        else {
            unreachable!("the call has changed the state")
        };
        (socket.flags.shutdown_call, socket.flags.shutdown_how) = (true, how);
        let verdict = verdict(&script);
        (verdict.action_known, verdict.local_action)
    };
    assert_eq!(by_shutdown(2), (true, Some(crate::words::LocalAction::ShutdownWrite)));
    assert_eq!(by_shutdown(0), (false, None));
}

#[test]
fn an_id_is_the_same_for_a_connection_and_its_write_errors() {
    let early = opened().packet_to(CloseWait).story();
    let late = opened().packet_to(CloseWait).close_to(LastAck).orphan_to(Close).story();
    assert_eq!(early.id(), late.id());
    let mut other = late.clone();
    other.sock = SockId(1);
    assert_ne!(other.id(), late.id());
}
