//! A report → the counters that the kernel must have moved for it. Pure.
//!
//! Each line names the kernel function that counts. The facts hold from 5.10 to 7.2.
//!
//! These events move a counter but are in no report. The audit shows a difference, although no verdict is wrong:
//! - `net.ipv4.tcp_abort_on_overflow`: a request refused because of a full accept queue is in EmbryonicRsts, but not in
//!   AttemptFails;
//! - a child socket that could not be created for lack of memory or of a route back: AttemptFails;
//! - MPTCP: a subflow's reset is in OutRsts. Whether TCPAbortOn… moves too depends on the call, and is not predicted;
//! - with tracepoints only, a reset for which there was no memory: it is in OutRsts and TCPAbortFailed.
//!
//! These events move none of the counters, and need no report: resets from netfilter (REJECT), connection requests that
//! end by an ICMP error or by `ss -K`, and minisockets (TIME_WAIT) that end.
//!
//! TCPAbortFailed (a reset that could not be created or sent) is not compared, because no hook reports the failure.

use super::counters::{Counter, Counters};
use crate::{
    classify::{
        Cause, Outcome,
        verdict::{LingerMode, Verdict},
    },
    event::State,
    report::Report,
};

/// The network namespace of a report's event, its time (`CLOCK_MONOTONIC`, ns), and the counters that it must have
/// moved. None if it moves no counter.
#[must_use]
pub fn expected(report: &Report) -> Option<(u32, u64, Counters)> {
    let moved = match report {
        Report::Close(verdict) => of_close(verdict),
        // tcp_v4_send_reset(), tcp_v6_send_response(): every reset that passes their early returns. A connection
        // request that is reset (tcp_check_req) is in both AttemptFails and EmbryonicRsts.
        Report::StrayReset(_) => Counters::moved(&[Counter::OutRsts]),
        Report::WriteError(_) | Report::LingerExpired(_) => return None,
    };
    let ns = match report {
        Report::Close(verdict) => verdict.head.ns,
        Report::StrayReset(reset) => reset.ns,
        Report::WriteError(_) | Report::LingerExpired(_) => return None,
    };
    (!moved.is_zero()).then_some((report.endpoints().netns, ns, moved))
}

fn of_close(verdict: &Verdict) -> Counters {
    let state = verdict.left.state;
    // tcp_set_state() counts, whichever function calls it.
    let established = matches!(state, Some(State::Established | State::CloseWait));
    // tcp_done() counts. tcp_disconnect(), and close() in SYN_SENT, do not call it.
    let attempt = matches!(state, Some(State::SynSent | State::SynRecv)) && ends_by_tcp_done(verdict);
    let mut moved = Counters::moved(by_cause(verdict));
    if established {
        moved += Counters::moved(&[Counter::EstabResets]);
    }
    if attempt {
        moved += Counters::moved(&[Counter::AttemptFails]);
    }
    // tcp_check_req() counts the request of a Fast Open child, and tcp_done() counts the child.
    if attempt && verdict.left.fastopen && verdict.head.outcome == Outcome::ResetReceived {
        moved += Counters::moved(&[Counter::AttemptFails]);
    }
    moved
}

/// The counters that the cause alone moves.
#[expect(clippy::match_same_arms, reason = "one line per place in the kernel")]
fn by_cause(verdict: &Verdict) -> &'static [Counter] {
    use Counter::{AbortOnClose, AbortOnData, AbortOnLinger, AbortOnMemory, AbortOnTimeout, OutRsts};
    let linger_zero = verdict.linger.is_some_and(|linger| linger.mode == LingerMode::Zero);
    match (verdict.head.outcome, verdict.head.cause) {
        // __tcp_close() counts, then tcp_send_active_reset().
        (Outcome::ResetSent, Cause::UnreadData) => &[AbortOnClose, OutRsts],
        // tcp_disconnect() resets, then __tcp_close() counts.
        (Outcome::ResetSent, Cause::LingerZero) => &[AbortOnData, OutRsts],
        // The same if tcp_disconnect() sends no reset: LAST_ACK or CLOSING with everything sent, or SYN_SENT.
        (Outcome::Aborted, Cause::LingerZero) => &[AbortOnData],
        (Outcome::Aborted, Cause::ConnectAbandoned) if linger_zero => &[AbortOnData],
        // tcp_rcv_state_process(): our FIN was acknowledged after the socket had become an orphan. The kernel counts
        // this as late data.
        (Outcome::ResetSent, Cause::Linger2Negative) if verdict.left.answered => &[AbortOnData, OutRsts],
        // __tcp_close(), in FIN_WAIT2.
        (Outcome::ResetSent, Cause::Linger2Negative) => &[AbortOnLinger, OutRsts],
        // tcp_rcv_state_process() counts, tcp_v4_do_rcv() resets.
        (Outcome::ResetSent, Cause::DataAfterClose) => &[AbortOnData, OutRsts],
        // The same function, for data beyond the peer's FIN.
        (Outcome::ResetSent, Cause::InvalidSegment) if is_abort_on_data(verdict) => &[AbortOnData, OutRsts],
        // __tcp_close() by tcp_check_oom(), or tcp_out_of_resources() on a timer.
        (Outcome::ResetSent, Cause::OrphanLimit) => &[AbortOnMemory, OutRsts],
        // tcp_send_active_reset() alone: tcp_disconnect(), inet_child_forget(), tcp_abort(), tcp_keepalive_timer(),
        // mptcp_subflow_reset(). Also tcp_v4_do_rcv() for a bad segment, and a reset of unknown reason.
        (Outcome::ResetSent, _) => &[OutRsts],
        // tcp_keepalive_timer() resets, then tcp_write_err() counts.
        (Outcome::TimedOut, Cause::KeepaliveTimeout) => &[AbortOnTimeout, OutRsts],
        // tcp_write_err().
        (Outcome::TimedOut, _) => &[AbortOnTimeout],
        // A FIN, the peer's reset or an ICMP error ended the connection, or it just vanished: none of these is counted.
        (
            Outcome::Graceful
            | Outcome::ResetReceived
            | Outcome::Refused
            | Outcome::Aborted
            | Outcome::Unknown,
            _,
        ) => &[],
    }
}

/// Whether the kernel's reason is late data, or there is no reason (before 6.10).
fn is_abort_on_data(verdict: &Verdict) -> bool {
    let reason = verdict.reset.as_ref().and_then(|reset| reset.kernel_reason.as_deref());
    reason.is_none_or(|reason| reason == "TCP_ABORT_ON_DATA")
}

/// Whether `tcp_done()` ended a connection that was never established: `tcp_reset()`, `tcp_write_err()`,
/// `tcp_v4_err()` and `tcp_abort()` call it.
fn ends_by_tcp_done(verdict: &Verdict) -> bool {
    // The process got the ICMP error from a call, and then closed the socket.
    if verdict.head.cause == Cause::IcmpError && verdict.left.closed {
        return false;
    }
    matches!(verdict.head.outcome, Outcome::Refused | Outcome::ResetReceived | Outcome::TimedOut)
        || verdict.head.cause == Cause::SocketDestroyed
}

#[cfg(test)]
mod tests;
