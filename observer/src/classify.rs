//! Evidence → verdict. Pure and total: no clock, no I/O, no guess dressed as a fact.
//!
//! Comes in: a [`Story`]. Goes out: a [`Verdict`]; what cannot be decided is [`Cause::Unknown`] with the missing
//! evidence named.

#![deny(clippy::disallowed_methods, reason = "pure: no clock, no I/O")]

mod rules;
mod stray;
pub mod verdict;
mod write_error;

use self::verdict::{Bytes, FirstClose, HalfClosed, Left, Linger, LingerMode, LingerResult, Reset, Verdict};
pub use self::{
    rules::{Ruling, decide},
    stray::{StrayCause, stray_cause},
    verdict::{Cause, Evidence, Missing, Outcome},
    write_error::{WriteCause, WriteVerdict, write_error},
};
use crate::{
    event::{Endpoints, Side, State, Task},
    story::Story,
};

/// Tells how the connection ended.
#[must_use]
pub fn classify(story: &Story) -> Verdict {
    let ruling = decide(story);
    let mut missing = ruling.missing.clone();
    if story.opening.is_none() {
        missing.push(Missing::Opening);
    }
    let process = process(story, &ruling);
    if process.is_none() {
        missing.push(Missing::Process);
    }
    let end_ns = story.end.map_or(story.first_ns, |end| end.ns);
    Verdict {
        id: story.id(),
        ns: end_ns,
        endpoints: story.endpoints.unwrap_or(Endpoints::UNKNOWN),
        opened_by: story.opening.map(|opening| opening.by),
        process,
        inode: story.inode,
        outcome: ruling.outcome,
        cause: ruling.cause,
        first_close: first_close(story, &ruling),
        local_action: local_action(story, &ruling),
        fin_sent: story.fin_sent.is_some(),
        linger: linger(story),
        half_closed: half_closed(story, end_ns),
        bytes: bytes(story, &ruling),
        reset: reset(story, &ruling),
        write_errors: story.write_errors.clone(),
        duration_ns: story.opening.map(|opening| end_ns.saturating_sub(opening.ns)),
        evidence: ruling.evidence,
        missing,
        steps: story.steps.clone(),
        left: left(story),
    }
}

/// What the audit has to know.
fn left(story: &Story) -> Left {
    Left {
        state: story.end.map(|end| end.old),
        answered: story.reset_sent.as_ref().is_some_and(|sent| !sent.active),
    }
}

/// Who closed, else who was seen with the socket.
fn process(story: &Story, ruling: &Ruling) -> Option<Task> {
    let closer = story.close_call.and_then(|call| call.task);
    let shutter = story.fin_sent.and_then(|fin| fin.task);
    // A killer from outside (`ss -K`: tcp_abort) ends the connection too, but is no owner.
    let ender = story
        .end
        .filter(|end| ruling.cause != Cause::SocketDestroyed && end.socket.err != rules::ECONNABORTED);
    let ender = ender.and_then(|end| end.task);
    let acted = [shutter, closer, ender].into_iter().flatten().find(|task| !task.kthread);
    acted.or(story.holder)
}

/// The end of a connection that the peer or a timer brought about is not our process's act, whatever it did after.
fn local_action(story: &Story, ruling: &Ruling) -> Option<crate::story::LocalAction> {
    if let Some(fin) = story.fin_sent {
        return Some(fin.action);
    }
    if ruling.cause == Cause::Disconnect {
        return Some(crate::story::LocalAction::Disconnect);
    }
    let end_ns = story.end?.ns;
    story.close_call.filter(|call| call.ns <= end_ns).map(|call| call.action)
}

fn first_close(story: &Story, ruling: &Ruling) -> FirstClose {
    if story.simultaneous {
        return FirstClose::Simultaneous;
    }
    let ours = story.fin_sent.map(|fin| fin.ns).or_else(|| ruling.local_reset_ns(story));
    let theirs = story.peer_fin.map(|fin| fin.ns).or_else(|| ruling.remote_reset_ns(story));
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs < ours => FirstClose::Remote,
        (Some(_), _) => FirstClose::Local,
        (None, Some(_)) => FirstClose::Remote,
        (None, None) => FirstClose::None,
    }
}

/// States that are only left for CLOSE when our FIN is acknowledged, but for a reset or an error.
const fn ends_acknowledged(old: State) -> bool {
    matches!(old, State::FinWait2 | State::LastAck | State::Closing)
}

/// Whether a lingering `close()` has just given up, at its deadline.
#[must_use]
pub fn linger_expired(story: &Story) -> bool {
    matches!(linger_result(story), Some((LingerResult::Expired, _)))
}

/// SO_LINGER, where `close()` met a connection that was still there.
fn linger(story: &Story) -> Option<Linger> {
    let end_ns = story.end.map_or(u64::MAX, |end| end.ns);
    let call = story.close_call.filter(|call| call.ns <= end_ns)?;
    let exiting = call.task.is_some_and(|task| task.exiting);
    let mode = match call.linger_ms {
        None => LingerMode::Off,
        Some(0) => LingerMode::Zero,
        // inet_release(): an exiting process does not wait.
        Some(_) if exiting => LingerMode::Suppressed,
        Some(_) => LingerMode::Timed,
    };
    let mut linger = Linger { mode, configured_ms: call.linger_ms, waited_ns: None, result: None };
    if let Some((result, until_ns)) = linger_result(story) {
        linger.result = Some(result);
        linger.waited_ns = Some(until_ns.saturating_sub(call.ns));
    }
    Some(linger)
}

/// How far the kernel's ticks, which its waits are counted in, may be behind its clock: in a virtual machine that is
/// kept from its processor they catch up later.
const TICKS_BEHIND_NS: u64 = 40_000_000;

/// How a lingering `close()` ended, and when. None when it did not wait, or the connection was reset meanwhile.
fn linger_result(story: &Story) -> Option<(LingerResult, u64)> {
    let deadline_ns = story.linger_deadline_ns()?;
    if let Some((ns, _)) = story.linger_over.filter(|(_, state)| state.fin_outstanding()) {
        let early = ns.saturating_add(TICKS_BEHIND_NS) < deadline_ns;
        let result = if early { LingerResult::Interrupted } else { LingerResult::Expired };
        return Some((result, ns));
    }
    if let Some(acked_ns) = story.linger_acked_ns() {
        return Some((LingerResult::Acked, acked_ns));
    }
    if let Some(ns) = story.linger_interrupted_ns.filter(|ns| *ns < deadline_ns) {
        return Some((LingerResult::Interrupted, ns));
    }
    match story.end.filter(|end| end.ns < deadline_ns) {
        // The acknowledgement that let it end so was in the backlog when the wait was over, at this moment.
        Some(end) if end.socket.err == 0 && end.socket.all_acked() && ends_acknowledged(end.old) => {
            Some((LingerResult::Acked, end.ns))
        }
        Some(_) => None,
        None => Some((LingerResult::Expired, deadline_ns)),
    }
}

fn half_closed(story: &Story, end_ns: u64) -> HalfClosed {
    let ours = story.fin_sent.map(|fin| fin.ns);
    let theirs = story.peer_fin.map(|fin| fin.ns);
    let gap = |from: Option<u64>, to: Option<u64>| {
        let from = from?;
        let to = to.unwrap_or(end_ns);
        (to >= from && !story.simultaneous).then(|| to - from)
    };
    // Of two FINs only the first leaves its sender half-closed.
    match (ours, theirs) {
        (Some(local), Some(remote)) if local > remote => {
            HalfClosed { local_ns: None, remote_ns: gap(theirs, ours) }
        }
        (Some(_), _) => HalfClosed { local_ns: gap(ours, theirs), remote_ns: None },
        (None, _) => HalfClosed { local_ns: None, remote_ns: gap(theirs, ours) },
    }
}

/// What was in the queues when the connection ended.
fn bytes(story: &Story, ruling: &Ruling) -> Bytes {
    let last = story.end.map(|end| end.socket);
    let delivered = ruling.outcome == Outcome::Graceful;
    let after_peer_fin = story.peer_fin.map(|peer| {
        let written = match (story.fin_sent, last) {
            (Some(fin), _) => fin.write_seq,
            (None, Some(socket)) => socket.write_seq,
            (None, None) => peer.write_seq,
        };
        // Not negative: when our FIN was first, both sides of the difference are its number.
        written.wrapping_sub(peer.write_seq)
    });
    Bytes {
        unread: story.close_call.map_or(0, |call| call.unread),
        unacked: last.filter(|_| !delivered).map_or(0, |socket| socket.unacked()),
        unsent: last.filter(|_| !delivered).map_or(0, |socket| socket.unsent()),
        after_peer_fin: after_peer_fin.unwrap_or(0),
    }
}

fn reset(story: &Story, ruling: &Ruling) -> Option<Reset> {
    match ruling.outcome {
        Outcome::ResetReceived | Outcome::Refused => story.reset_received.map(|received| Reset {
            direction: Side::Remote,
            in_state: received.state,
            kernel_reason: None,
        }),
        _ => story.reset_sent.as_ref().map(|sent| Reset {
            direction: Side::Local,
            // The kernel stores CLOSE before it sends; the state that was left says more.
            in_state: story.end.filter(|end| end.ns <= sent.ns).map_or(sent.state, |end| end.old),
            kernel_reason: sent.reason.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
