//! SO_LINGER at `close()`, and how the wait ended.

use super::verdict::{Linger, LingerMode, LingerResult};
use crate::{
    event::State,
    story::{End, Story},
};

/// Whether a lingering `close()` gave up at its deadline.
#[must_use]
pub fn linger_expired(story: &Story) -> bool {
    matches!(linger_result(story), Some((LingerResult::Expired, _)))
}

/// SO_LINGER at a `close()` that came before the connection's end; None without such a call.
pub(super) fn linger(story: &Story) -> Option<Linger> {
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

/// How far the kernel's ticks may lag behind its clock, ns. Waits are counted in ticks, and in a virtual machine that
/// does not get its CPU the ticks catch up later.
const TICKS_BEHIND_NS: u64 = 40_000_000;

/// How the wait of a lingering `close()` ended, and when. None if it did not wait, if the connection was reset
/// meanwhile, or if the record is missing.
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
    let end = story.end.filter(|end| end.ns < deadline_ns);
    // A signal after the end interrupts nothing, because the wait was already over.
    let interrupted = story.linger_interrupted_ns.filter(|ns| *ns < deadline_ns);
    if let Some(ns) = interrupted.filter(|ns| end.is_none_or(|end| *ns <= end.ns)) {
        return Some((LingerResult::Interrupted, ns));
    }
    if wait_end_unseen(story) {
        return None;
    }
    match end {
        // close() processed the acknowledgement from its backlog, which ended the wait and the connection at this time.
        Some(end) if end.socket.err == 0 && end.socket.all_acked() && ends_in_close(&end) => {
            Some((LingerResult::Acked, end.ns))
        }
        Some(_) => None,
        None => Some((LingerResult::Expired, deadline_ns)),
    }
}

/// Whether the wait was over before the connection's end and before its deadline, and no record shows why.
///
/// `__tcp_close()` makes the socket an orphan after the wait. Only an acknowledgement or a signal ends the wait
/// early, and each has a record, because the socket is no orphan yet when its FIN is acknowledged.
pub(super) fn wait_end_unseen(story: &Story) -> bool {
    let Some(deadline_ns) = story.linger_deadline_ns() else { return false };
    let shown = story.fin_acked_ns.is_some()
        || story.linger_interrupted_ns.is_some()
        || story.linger_over.is_some_and(|(_, state)| state.fin_outstanding());
    let early = |end: &End| end.ns.saturating_add(TICKS_BEHIND_NS) < deadline_ns;
    !shown && story.end.is_some_and(|end| end.socket.flags.dead && early(&end))
}

/// Whether `close()` still held the socket lock in a state that leads to CLOSE only by the acknowledgement of our
/// FIN, or by a reset or an error.
const fn ends_in_close(end: &End) -> bool {
    end.socket.flags.owned && matches!(end.old, State::FinWait2 | State::LastAck | State::Closing)
}

#[cfg(test)]
mod tests;
