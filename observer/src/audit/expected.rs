//! One report → the counters that the kernel must have moved for it. Pure.
//!
//! The facts hold from 5.10 to 7.2; each line names the kernel function that counts.
//!
//! What moves a counter and is in no report, so that the audit shows it as a difference although no verdict is wrong:
//! - `net.ipv4.tcp_abort_on_overflow`: a request refused for a full accept queue is in EmbryonicRsts and not in AttemptFails;
//! - a child that could not be made for lack of memory or of a route back: AttemptFails;
//! - MPTCP: a subflow's reset is in OutRsts; whether TCPAbortOn… moves with it depends on the call, and is not predicted;
//! - where only tracepoints are to be had, a reset for which there was no memory: it is in OutRsts and TCPAbortFailed.
//!
//! What moves none of these counters, and needs no report: resets made by netfilter (REJECT), connection requests that
//! end by an ICMP error or by `ss -K`, minisockets (TIME_WAIT) that end.
//!
//! TCPAbortFailed itself (a reset that could not be made or sent) is not compared: no hook tells of the failure.

use super::counters::{Counter, Counters};
use crate::{
    classify::{
        Cause, Outcome,
        verdict::{LingerMode, Verdict},
    },
    event::State,
    report::Report,
};

/// When a report says that something happened, and where, and what must have moved. None for a report that moves nothing.
#[must_use]
pub fn expected(report: &Report) -> Option<(u32, u64, Counters)> {
    let moved = match report {
        Report::Close(verdict) => of_close(verdict),
        // tcp_v4_send_reset(), tcp_v6_send_response(): every reset that passes their early returns. A request that is reset
        // (tcp_check_req) is in AttemptFails and EmbryonicRsts alike.
        Report::StrayReset(_) => Counters::moved(&[Counter::OutRsts]),
        Report::WriteError(_) | Report::LingerExpired(_) => return None,
    };
    let ns = match report {
        Report::Close(verdict) => verdict.ns,
        Report::StrayReset(reset) => reset.ns,
        Report::WriteError(_) | Report::LingerExpired(_) => return None,
    };
    (!moved.is_zero()).then_some((report.endpoints().netns, ns, moved))
}

fn of_close(verdict: &Verdict) -> Counters {
    let state = verdict.left.state;
    // tcp_set_state(), whoever calls it.
    let established = matches!(state, Some(State::Established | State::CloseWait));
    // tcp_done(), which tcp_disconnect() and close() in SYN_SENT do without.
    let attempt = matches!(state, Some(State::SynSent | State::SynRecv)) && ends_by_tcp_done(verdict);
    let mut moved = Counters::moved(by_cause(verdict));
    if established {
        moved += Counters::moved(&[Counter::EstabResets]);
    }
    if attempt {
        moved += Counters::moved(&[Counter::AttemptFails]);
    }
    // tcp_check_req() counts the request of a Fast Open child, and tcp_done() counts the child.
    if attempt && verdict.left.fastopen && verdict.outcome == Outcome::ResetReceived {
        moved += Counters::moved(&[Counter::AttemptFails]);
    }
    moved
}

/// What the cause alone moves.
#[expect(clippy::match_same_arms, reason = "one line for each place in the kernel")]
fn by_cause(verdict: &Verdict) -> &'static [Counter] {
    use Counter::{AbortOnClose, AbortOnData, AbortOnLinger, AbortOnMemory, AbortOnTimeout, OutRsts};
    let linger_zero = verdict.linger.is_some_and(|linger| linger.mode == LingerMode::Zero);
    match (verdict.outcome, verdict.cause) {
        // __tcp_close() counts, then tcp_send_active_reset().
        (Outcome::ResetSent, Cause::UnreadData) => &[AbortOnClose, OutRsts],
        // tcp_disconnect() resets, then __tcp_close() counts.
        (Outcome::ResetSent, Cause::LingerZero) => &[AbortOnData, OutRsts],
        // The same where tcp_disconnect() needs no reset: LAST_ACK or CLOSING with everything sent, or SYN_SENT.
        (Outcome::Aborted, Cause::LingerZero) => &[AbortOnData],
        (Outcome::Aborted, Cause::ConnectAbandoned) if linger_zero => &[AbortOnData],
        // tcp_rcv_state_process(): our FIN was acknowledged when nobody had the socket any more. The kernel counts it as
        // late data.
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
        // mptcp_subflow_reset(). tcp_v4_do_rcv() for a bad segment. And a reset whose reason was not to be found.
        (Outcome::ResetSent, _) => &[OutRsts],
        // tcp_keepalive_timer() resets, then tcp_write_err() counts.
        (Outcome::TimedOut, Cause::KeepaliveTimeout) => &[AbortOnTimeout, OutRsts],
        // tcp_write_err().
        (Outcome::TimedOut, _) => &[AbortOnTimeout],
        // A FIN, the peer's reset, an ICMP error, or nothing at all.
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

/// Whether the kernel named late data as the reason, or no reason at all (before 6.10).
fn is_abort_on_data(verdict: &Verdict) -> bool {
    let reason = verdict.reset.as_ref().and_then(|reset| reset.kernel_reason.as_deref());
    reason.is_none_or(|reason| reason == "TCP_ABORT_ON_DATA")
}

/// Whether `tcp_done()` ended a connection that was never established: `tcp_reset()`, `tcp_write_err()`, `tcp_v4_err()` and
/// `tcp_abort()` call it.
fn ends_by_tcp_done(verdict: &Verdict) -> bool {
    // The process was told of an ICMP error and closed the socket itself.
    if verdict.cause == Cause::IcmpError && verdict.left.closed {
        return false;
    }
    matches!(verdict.outcome, Outcome::Refused | Outcome::ResetReceived | Outcome::TimedOut)
        || verdict.cause == Cause::SocketDestroyed
}

#[cfg(test)]
mod tests;
