//! Missing records of the end: those that must have existed because of the others.
//!
//! `exact` is a promise about the whole verdict, so any gap that is found here makes the verdict `inferred`.

use super::{
    Ruling,
    errno::is_by_reset,
    verdict::{Missing, Outcome},
};
use crate::{
    event::State,
    story::{End, Story},
    words::LocalAction,
};

/// The missing evidence, beside what the rules found missing.
pub(super) fn gaps(story: &Story, ruling: &Ruling) -> Vec<Missing> {
    let mut missing = Vec::new();
    let chain = &story.chain;
    let seen_before = story.opening.is_some();
    // The observer must have seen every FIN of a connection whose opening it saw.
    let lost = story.records_lost || chain.gap || chain.starts_late() && seen_before;
    if lost || contradicts(story, ruling) {
        missing.push(Missing::Records);
    }
    if chain.starts_late() {
        if peer_fin_unseen(story) {
            missing.push(Missing::PeerFin);
        }
        if our_fin_unseen(story) && !seen_before {
            missing.push(Missing::Transition);
        }
    }
    missing
}

/// Whether the states show a FIN of the peer without a record of it.
pub(super) fn peer_fin_unseen(story: &Story) -> bool {
    let after = [State::CloseWait, State::LastAck, State::Closing];
    story.peer_fin.is_none() && after.into_iter().any(|state| story.chain.visited(state))
}

/// Whether the states show our FIN without a record of it.
fn our_fin_unseen(story: &Story) -> bool {
    let after = [State::FinWait1, State::FinWait2, State::LastAck, State::Closing];
    story.fin_sent.is_none() && after.into_iter().any(|state| story.chain.visited(state))
}

/// Whether a record implies another one that is missing.
fn contradicts(story: &Story, ruling: &Ruling) -> bool {
    let Some(end) = story.end else { return false };
    close_unseen(story, &end)
        || reset_unseen(story, &end)
        || cut_short(story, &end, ruling)
        || late_data_unanswered(story, &end)
        || data_over_fin_unanswered(story, &end)
        || super::linger::wait_end_unseen(story)
}

/// An orphan was closed, so a record of `close()` must exist. `shutdown()` makes no orphan, and a connection in the
/// accept queue is none.
fn close_unseen(story: &Story, end: &End) -> bool {
    let by_shutdown = story
        .fin_sent
        .is_none_or(|fin| matches!(fin.action, LocalAction::ShutdownWrite | LocalAction::ShutdownBoth));
    end.socket.flags.dead && story.close_call.is_none() && by_shutdown
}

/// `tcp_reset()` leaves these errors, and its tracepoint fires before.
fn reset_unseen(story: &Story, end: &End) -> bool {
    is_by_reset(end.socket.err) && story.reset_received.is_none()
}

/// Data after close(), or after shutdown() of both directions, is answered with RST and ends the connection
/// (`tcp_rcv_state_process()`). Without the record of that RST the end looks like another one. Repeated segments count
/// too, so this only casts doubt. A recording without the count casts doubt as well.
fn late_data_unanswered(story: &Story, end: &End) -> bool {
    let closed = story.close_call.filter(|call| call.ns < end.ns).map(|call| call.data_segs_in);
    // Receiving is shut down, and not by the peer's FIN.
    let shut_down = story.fin_sent.filter(|_| end.socket.rcv_shutdown && !end.socket.flags.done);
    let none_came =
        |then: Option<u32>| then.zip(end.socket.data_segs_in).is_some_and(|(then, now)| then == now);
    let before = closed.or_else(|| shut_down.map(|fin| fin.data_segs_in));
    before.is_some_and(|then| !none_came(then))
        && story.reset_sent.is_none()
        && matches!(end.old, State::FinWait1 | State::FinWait2 | State::Closing)
}

/// Data beyond the peer's FIN makes `tcp_reset()` run, as a RST of the peer does, and is answered with RST. The
/// record of that RST is missing. Repeated segments count too, so this only casts doubt.
fn data_over_fin_unanswered(story: &Story, end: &End) -> bool {
    let came = story.peer_fin.is_some_and(|fin| fin.data_segs_in != end.socket.data_segs_in);
    came && story.reset_received.is_some() && story.reset_sent.is_none()
}

/// Whether our reset must have followed, and its record is missing.
fn cut_short(story: &Story, end: &End, ruling: &Ruling) -> bool {
    let aborted = end.task.is_some() && end.socket.flags.closing && story.reset_sent.is_none();
    aborted
        && matches!(ruling.outcome, Outcome::Unknown | Outcome::Aborted)
        && matches!(end.old, State::Established | State::CloseWait)
        && end.socket.unread() > 0
}
