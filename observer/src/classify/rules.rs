//! The ordered table of rules. Each is a small function over the evidence, and the first one with an answer decides.
//!
//! Kernel facts name their function. They hold for 5.10 to 7.2 unless a rule says otherwise.

use super::{
    errno::is_by_tcp,
    verdict::{Cause, Evidence, Missing, Outcome},
};
use crate::{
    event::State,
    story::{End, ResetSent, Story},
    words::errno::{ECONNABORTED, ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT},
};

/// The answer of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// How the connection ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub cause: Cause,
    /// How sure the answer is.
    pub evidence: Evidence,
    /// Evidence that would have made it surer.
    pub missing: Vec<Missing>,
}

impl Ruling {
    const fn exact(outcome: Outcome, cause: Cause) -> Self {
        Self { outcome, cause, evidence: Evidence::Exact, missing: Vec::new() }
    }

    fn inferred(outcome: Outcome, cause: Cause, missing: Missing) -> Self {
        Self { outcome, cause, evidence: Evidence::Inferred, missing: vec![missing] }
    }

    /// Every other cause is excluded, and no record shows this one.
    const fn by_elimination(outcome: Outcome, cause: Cause) -> Self {
        Self { outcome, cause, evidence: Evidence::Inferred, missing: Vec::new() }
    }

    fn unknown(missing: Missing) -> Self {
        Self::inferred(Outcome::Unknown, Cause::Unknown, missing)
    }

    /// When we sent the reset that ended the connection; None without one. A keepalive that gave up sends one too.
    pub(super) fn local_reset_ns(&self, story: &Story) -> Option<u64> {
        match self.outcome {
            Outcome::ResetSent | Outcome::TimedOut => story.reset_sent.as_ref().map(|sent| sent.ns),
            Outcome::Graceful
            | Outcome::ResetReceived
            | Outcome::Refused
            | Outcome::Aborted
            | Outcome::Unknown => None,
        }
    }

    /// When the peer's reset that ended the connection came; None without one.
    pub(super) fn remote_reset_ns(&self, story: &Story) -> Option<u64> {
        (self.outcome == Outcome::ResetReceived).then(|| story.reset_received.map(|received| received.ns))?
    }
}

/// A rule. None leaves the decision to the next rule.
type Rule = fn(&Story, &End) -> Option<Ruling>;

/// The rules in order. A sent segment is stronger evidence than a received one, and a reset is stronger than the state
/// that it left.
const RULES: [Rule; 11] = [
    reset_by_decision,
    reset_for_late_data,
    refused,
    rejected_by_icmp,
    reset_by_peer,
    given_up_connecting,
    destroyed_silently,
    timeout,
    torn_down_silently,
    graceful,
    reset_without_its_record,
];

/// Decides outcome and cause. Total: without an answer they are unknown.
#[must_use]
pub fn decide(story: &Story) -> Ruling {
    let Some(end) = story.end else { return Ruling::unknown(Missing::End) };
    RULES.iter().find_map(|rule| rule(story, &end)).unwrap_or_else(|| Ruling::unknown(Missing::Trigger))
}

/// `tcp_send_active_reset()`: our side decided. The kernel's reason and the socket's fields must agree.
fn reset_by_decision(story: &Story, end: &End) -> Option<Ruling> {
    let sent = story.reset_sent.as_ref().filter(|sent| sent.active)?;
    if sent.flags.mptcp {
        // mptcp_subflow_reset() and similar functions. Some of their reasons are TCP's own.
        return Some(Ruling::exact(Outcome::ResetSent, Cause::Mptcp));
    }
    let by_name = sent.reason.as_deref().and_then(cause_by_name);
    let by_fields = cause_by_fields(sent, end);
    Some(match (by_name, by_fields) {
        (Some(name), Some(fields)) if name != fields => {
            Ruling::inferred(outcome_of(name), name, Missing::ResetCause)
        }
        (_, Some(cause)) => Ruling::exact(outcome_of(cause), cause),
        (Some(cause), None) => Ruling::inferred(outcome_of(cause), cause, Missing::Transition),
        (None, None) => Ruling::inferred(Outcome::ResetSent, Cause::Unknown, Missing::ResetCause),
    })
}

/// A keepalive that gave up sends a reset too, but the peer's silence ended the connection.
const fn outcome_of(cause: Cause) -> Outcome {
    if matches!(cause, Cause::KeepaliveTimeout) { Outcome::TimedOut } else { Outcome::ResetSent }
}

/// The cause that a value of `enum sk_rst_reason` (6.10 and later) names. None for the others: TCP_STATE and
/// TCP_DISCONNECT_WITH_DATA stand for five different causes.
fn cause_by_name(reason: &str) -> Option<Cause> {
    Some(match reason {
        "TCP_ABORT_ON_CLOSE" => Cause::UnreadData,
        "TCP_ABORT_ON_LINGER" => Cause::Linger2Negative,
        "TCP_ABORT_ON_MEMORY" => Cause::OrphanLimit,
        "TCP_KEEPALIVE_TIMEOUT" => Cause::KeepaliveTimeout,
        mptcp if mptcp.starts_with("MPTCP_") => Cause::Mptcp,
        _ => return None,
    })
}

/// The caller of `tcp_send_active_reset()`, from the socket alone.
fn cause_by_fields(sent: &ResetSent, end: &End) -> Option<Cause> {
    let flags = sent.flags;
    if sent.state == State::Close {
        let closing = end.socket.flags.closing && end.socket.rcv_shutdown && end.socket.send_shutdown;
        return Some(if flags.dead {
            // __tcp_close() after sock_orphan(): it reads TCP_LINGER2 in FIN_WAIT2 only.
            if end.old == State::FinWait2 && flags.linger2_negative {
                Cause::Linger2Negative
            } else {
                Cause::OrphanLimit
            }
        } else if !flags.has_socket {
            // inet_child_forget(): a child that was not accepted has no file.
            Cause::NeverAccepted
        } else if !closing {
            // tcp_disconnect() by connect(AF_UNSPEC): the file stays open.
            Cause::Disconnect
        } else if end.socket.unread() > 0 {
            Cause::UnreadData
        } else if end.socket.linger_ms == Some(0) {
            Cause::LingerZero
        } else {
            // 5.10 counts everything in the receive queue, including data that was read in place.
            Cause::UnreadData
        });
    }
    let memory = sent.reason.as_deref() == Some("TCP_ABORT_ON_MEMORY");
    match (flags.owned, flags.dead, sent.state) {
        // tcp_abort() of an orphan, in kernels with "tcp: fix forever orphan socket caused by tcp_abort". It sends a
        // reset in FIN_WAIT1.
        (true, true, State::FinWait1) if !memory => Some(Cause::SocketDestroyed),
        // tcp_out_of_resources(), also from a timer that was deferred while the lock was held.
        (_, true, State::FinWait1 | State::LastAck | State::Closing) => Some(Cause::OrphanLimit),
        // tcp_keepalive_timer() of an orphan.
        (false, true, State::FinWait2) => Some(Cause::FinWait2Timeout),
        // tcp_keepalive_timer() of a socket with SO_KEEPALIVE.
        (false, _, _) if flags.keepalive => Some(Cause::KeepaliveTimeout),
        // tcp_abort().
        (true, _, _) => Some(Cause::SocketDestroyed),
        _ => None,
    }
}

/// `tcp_rcv_state_process()`, TCPAbortOnData: data arrived after we had closed, or shut down both directions.
///
/// The kernel calls `tcp_reset()` first, and sends the reset when the socket is already in CLOSE. A reset for a
/// segment that does not end the connection comes before the end and decides nothing. That is known only from the
/// handshake, where it is not part of the story (`StrayCause::InvalidSegment`). No kernel from 5.10 to 7.2 is known
/// to end a connection with a reset for another segment than late data.
///
/// With TCP_LINGER2 < 0 the acknowledgement of an orphan's FIN ends the connection in the same way. The kernel counts
/// and names it like late data, but does not call `tcp_reset()`.
fn reset_for_late_data(story: &Story, end: &End) -> Option<Ruling> {
    let sent = story.reset_sent.as_ref().filter(|sent| !sent.active && sent.ns >= end.ns)?;
    let named = sent.reason.as_deref().map(|reason| reason == "TCP_ABORT_ON_DATA");
    let closed_before = story.fin_sent.is_some() || end.socket.send_shutdown;
    let acked = end.old == State::FinWait2 && end.socket.flags.dead && story.reset_received.is_none();
    if sent.flags.linger2_negative && acked {
        return Some(Ruling::exact(Outcome::ResetSent, Cause::Linger2Negative));
    }
    Some(match (named, closed_before) {
        (Some(true) | None, true) => Ruling::exact(Outcome::ResetSent, Cause::DataAfterClose),
        _ => Ruling::exact(Outcome::ResetSent, Cause::InvalidSegment),
    })
}

/// `tcp_rcv_synsent_state_process()`: the SYN was answered with RST.
fn refused(story: &Story, end: &End) -> Option<Ruling> {
    if end.old != State::SynSent {
        return None;
    }
    if story.reset_received.is_some_and(|received| received.state == State::SynSent) {
        return Some(Ruling::exact(Outcome::Refused, Cause::Refused));
    }
    // ICMP's "port unreachable" leaves the same errno. A segment came, so a RST whose record was lost is more likely.
    let flags = end.socket.flags;
    let by_segment = (flags.segment_seen || flags.owned) && !flags.error_queued;
    (end.socket.err == ECONNREFUSED && by_segment)
        .then(|| Ruling::inferred(Outcome::Refused, Cause::Refused, Missing::Trigger))
}

/// `tcp_v4_err()`, `tcp_v6_err()`: an ICMP error ends a handshake at once, unless a system call holds the socket
/// lock. Then the kernel stores it in `sk_err_soft`, and the handshake goes on. If the retransmitted SYNs get no
/// answer, a timer gives up and leaves that error too (`tcp_write_err()`). Since 5.17 the error is queued as well:
/// the process learns it by poll(2) or SO_ERROR, and then closes.
fn rejected_by_icmp(story: &Story, end: &End) -> Option<Ruling> {
    let flags = end.socket.flags;
    if !matches!(end.old, State::SynSent | State::SynRecv) || flags.soft_error && flags.retries_out {
        return None;
    }
    if story.reset_sent.is_some() || story.reset_received.is_some() {
        return None;
    }
    let by_icmp = end.socket.err != 0 && !is_by_tcp(end.socket.err);
    by_icmp.then(|| Ruling::exact(Outcome::Refused, Cause::IcmpError))
}

/// `tcp_reset()` for a segment with RST.
fn reset_by_peer(story: &Story, end: &End) -> Option<Ruling> {
    let socket = end.socket;
    let Some(received) = story.reset_received.filter(|received| received.ns <= end.ns) else {
        return reset_by_error(story, end);
    };
    let Some(peer_fin) = story.peer_fin else {
        // In these states the peer's FIN had come, before the observer started.
        return Some(if matches!(received.state, State::CloseWait | State::LastAck | State::Closing) {
            let wrote = socket.unacked() + socket.unsent() > 0;
            let cause = if wrote { Cause::WriteAfterPeerFin } else { Cause::ResetAfterPeerFin };
            Ruling::inferred(Outcome::ResetReceived, cause, Missing::PeerFin)
        } else {
            Ruling::exact(Outcome::ResetReceived, Cause::PeerReset)
        });
    };
    let written = story.fin_sent.map_or(socket.write_seq, |fin| fin.write_seq);
    let cause =
        if written == peer_fin.write_seq { Cause::ResetAfterPeerFin } else { Cause::WriteAfterPeerFin };
    Some(Ruling::exact(Outcome::ResetReceived, cause))
}

/// The error that `tcp_reset()` leaves, if its record is missing.
fn reset_by_error(story: &Story, end: &End) -> Option<Ruling> {
    let cause = match end.socket.err {
        ECONNRESET => Cause::PeerReset,
        EPIPE => match story.peer_fin {
            Some(fin) if fin.write_seq == end.socket.write_seq => Cause::ResetAfterPeerFin,
            Some(_) => Cause::WriteAfterPeerFin,
            None if end.socket.unacked() + end.socket.unsent() > 0 => Cause::WriteAfterPeerFin,
            None => Cause::ResetAfterPeerFin,
        },
        _ => return None,
    };
    Some(Ruling::inferred(Outcome::ResetReceived, cause, Missing::Trigger))
}

/// Our side gave up connecting: `close()`, or `tcp_disconnect()` by `shutdown()` or `connect(AF_UNSPEC)`.
fn given_up_connecting(story: &Story, end: &End) -> Option<Ruling> {
    let ours = end.task.is_some() && end.socket.err == 0;
    let silent = story.reset_sent.is_none() && story.reset_received.is_none();
    (end.old == State::SynSent && ours && silent)
        .then(|| Ruling::exact(Outcome::Aborted, Cause::ConnectAbandoned))
}

/// `tcp_abort()` (`ss -K`) in a state in which `tcp_need_reset()` needs no reset: during the handshake, or after the
/// peer's FIN and ours.
fn destroyed_silently(story: &Story, end: &End) -> Option<Ruling> {
    if end.socket.err != ECONNABORTED || story.reset_sent.is_some() {
        return None;
    }
    Some(match end.old {
        State::SynSent | State::LastAck | State::Closing => {
            Ruling::exact(Outcome::Aborted, Cause::SocketDestroyed)
        }
        _ => Ruling::inferred(Outcome::ResetSent, Cause::SocketDestroyed, Missing::ResetCause),
    })
}

/// `tcp_write_err()`: retransmissions, TCP_USER_TIMEOUT or the retries of the SYN ran out.
///
/// `sk_err` is then the last error from ICMP or the routing (`sk_err_soft`), such as EHOSTUNREACH, or else ETIMEDOUT.
/// Only `tcp_abort()` (ECONNABORTED) ends a connection with an error and without a reset too.
fn timeout(story: &Story, end: &End) -> Option<Ruling> {
    let cause = if end.old == State::SynSent { Cause::ConnectTimeout } else { Cause::RetransmitTimeout };
    match end.socket.err {
        ETIMEDOUT if keepalive_gave_up(end) => {
            Some(Ruling::inferred(Outcome::TimedOut, Cause::KeepaliveTimeout, Missing::Records))
        }
        ETIMEDOUT => Some(Ruling::exact(Outcome::TimedOut, cause)),
        err if err == 0 || is_by_tcp(err) => None,
        // IP_RECVERR passed on an ICMP error, which no process has read yet. The FINs ended the connection.
        _ if end.socket.all_acked()
            && matches!(end.old, State::FinWait2 | State::LastAck | State::Closing) =>
        {
            None
        }
        _ if story.reset_sent.is_some() || story.reset_received.is_some() => None,
        _ => Some(Ruling::by_elimination(Outcome::TimedOut, cause)),
    }
}

/// Whether it was the keepalive timer, because nothing was left to retransmit. `tcp_keepalive_timer()` sends a reset,
/// and its record was lost.
const fn keepalive_gave_up(end: &End) -> bool {
    end.socket.all_acked() && !matches!(end.old, State::SynSent | State::SynRecv)
}

/// A `close()` that sends nothing: `tcp_disconnect()` without `tcp_need_reset()`, repair mode, or a namespace that
/// goes away.
///
/// No record shows repair mode. But nothing else in `__tcp_close()` leads from a connected state to CLOSE without FIN
/// or RST. From our unacknowledged FIN only a namespace that goes away does.
fn torn_down_silently(story: &Story, end: &End) -> Option<Ruling> {
    let flags = end.socket.flags;
    if story.reset_sent.is_some() || story.reset_received.is_some() || end.socket.err != 0 {
        return None;
    }
    // tcp_disconnect() by connect(AF_UNSPEC): after both FINs it needs no reset.
    let disconnected = end.task.is_some() && !flags.closing && flags.has_socket && !end.socket.all_acked();
    if disconnected && matches!(end.old, State::LastAck | State::Closing) {
        return Some(Ruling::exact(Outcome::Aborted, Cause::Disconnect));
    }
    if flags.dead {
        return (flags.owned && end.old == State::FinWait1)
            .then(|| Ruling::by_elimination(Outcome::Aborted, Cause::NetnsGone));
    }
    let closed = story.close_call.is_some_and(|call| call.ns <= end.ns) && flags.closing;
    // The peer's FIN, which waited in the backlog while close() held the lock.
    let answered = end.old == State::FinWait2 && flags.done;
    if !closed || end.socket.unread() > 0 || answered {
        return None;
    }
    match (end.old, end.socket.linger_ms) {
        (State::LastAck | State::Closing, Some(0)) => {
            Some(Ruling::exact(Outcome::Aborted, Cause::LingerZero))
        }
        (State::Established | State::CloseWait | State::FinWait1 | State::FinWait2, None | Some(1..)) => {
            Some(Ruling::by_elimination(Outcome::Aborted, Cause::Repair))
        }
        _ => None,
    }
}

/// Both directions ended by FIN. Or ours did, and the kernel keeps the rest in a minisocket that reports nothing.
fn graceful(story: &Story, end: &End) -> Option<Ruling> {
    if story.reset_sent.is_some() || story.reset_received.is_some() || is_by_tcp(end.socket.err) {
        return None;
    }
    match end.old {
        // tcp_time_wait(FIN_WAIT2): an orphan. tcp_fin() sets SOCK_DONE if the peer's FIN ended it.
        State::FinWait2 if end.socket.flags.done => Some(Ruling::exact(Outcome::Graceful, Cause::Orderly)),
        State::FinWait2 if end.socket.flags.dead => {
            Some(Ruling::exact(Outcome::Graceful, Cause::ClosedFirst))
        }
        // tcp_rcv_state_process(): both states lead to CLOSE when our FIN is acknowledged. Without the
        // acknowledgement it was something else: tcp_out_of_resources(), or a reset whose record was lost.
        State::Closing | State::LastAck if end.socket.all_acked() => {
            Some(Ruling::exact(Outcome::Graceful, Cause::Orderly))
        }
        // This includes FIN_WAIT2 with a holder: tcp_disconnect(), and the record of its reset was lost.
        _ => None,
    }
}

/// The end shows that we aborted, and the record of the reset is missing.
fn reset_without_its_record(story: &Story, end: &End) -> Option<Ruling> {
    let call = story.close_call.filter(|_| end.socket.flags.closing)?;
    let cause = if call.unread > 0 {
        Cause::UnreadData
    } else if call.linger_ms == Some(0) {
        Cause::LingerZero
    } else {
        return None;
    };
    Some(Ruling::inferred(Outcome::ResetSent, cause, Missing::ResetCause))
}
