//! What of the evidence is missing: the records that the others say must have been there.
//!
//! `exact` is a promise about the whole verdict, so that anything found here makes it `inferred`.

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

/// What is missing, beside what the rules found missing themselves.
pub(super) fn gaps(story: &Story, ruling: &Ruling) -> Vec<Missing> {
    let mut missing = Vec::new();
    let chain = &story.chain;
    let seen_before = story.opening.is_some();
    // Of a connection that the observer saw begin, it must have seen every FIN.
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

/// The states show a FIN of the peer's that no record told of.
pub(super) fn peer_fin_unseen(story: &Story) -> bool {
    let after = [State::CloseWait, State::LastAck, State::Closing];
    story.peer_fin.is_none() && after.into_iter().any(|state| story.chain.visited(state))
}

/// The states show a FIN of ours that no record told of.
fn our_fin_unseen(story: &Story) -> bool {
    let after = [State::FinWait1, State::FinWait2, State::LastAck, State::Closing];
    story.fin_sent.is_none() && after.into_iter().any(|state| story.chain.visited(state))
}

/// Whether a record that is there needs another one that is not.
fn contradicts(story: &Story, ruling: &Ruling) -> bool {
    let Some(end) = story.end else { return false };
    close_unseen(story, &end)
        || reset_unseen(story, &end)
        || cut_short(story, &end, ruling)
        || late_data_unanswered(story, &end)
        || data_over_fin_unanswered(story, &end)
        || super::linger::wait_end_unseen(story)
}

/// The socket is an orphan at its end, so it was closed. `shutdown()` does not orphan, and a connection that nobody
/// accepted is no orphan while it is in the queue.
fn close_unseen(story: &Story, end: &End) -> bool {
    let by_shutdown = story
        .fin_sent
        .is_none_or(|fin| matches!(fin.action, LocalAction::ShutdownWrite | LocalAction::ShutdownBoth));
    end.socket.flags.dead && story.close_call.is_none() && by_shutdown
}

/// `tcp_reset()` leaves these errors behind, and reports itself before.
fn reset_unseen(story: &Story, end: &End) -> bool {
    is_by_reset(end.socket.err) && story.reset_received.is_none()
}

/// Data that comes after close(), or shutdown() both ways, is answered with RST, and ends the connection
/// (`tcp_rcv_state_process()`). Without the record of that RST the end looks like another one. A segment that came again
/// counts too, so this only casts doubt; so does a recording that does not have the number.
fn late_data_unanswered(story: &Story, end: &End) -> bool {
    let closed = story.close_call.filter(|call| call.ns < end.ns).map(|call| call.data_segs_in);
    // Receiving is shut down without the peer's FIN.
    let shut_down = story.fin_sent.filter(|_| end.socket.rcv_shutdown && !end.socket.flags.done);
    let none_came =
        |then: Option<u32>| then.zip(end.socket.data_segs_in).is_some_and(|(then, now)| then == now);
    let before = closed.or_else(|| shut_down.map(|fin| fin.data_segs_in));
    before.is_some_and(|then| !none_came(then))
        && story.reset_sent.is_none()
        && matches!(end.old, State::FinWait1 | State::FinWait2 | State::Closing)
}

/// Data beyond the peer's FIN makes `tcp_reset()` run as the peer's RST does, and is answered with RST, whose record did not
/// come. A segment that came again counts too, so this only casts doubt.
fn data_over_fin_unanswered(story: &Story, end: &End) -> bool {
    let came = story.peer_fin.is_some_and(|fin| fin.data_segs_in != end.socket.data_segs_in);
    came && story.reset_received.is_some() && story.reset_sent.is_none()
}

/// A reset of ours is due, and its record did not come.
fn cut_short(story: &Story, end: &End, ruling: &Ruling) -> bool {
    let aborted = end.task.is_some() && end.socket.flags.closing && story.reset_sent.is_none();
    aborted
        && matches!(ruling.outcome, Outcome::Unknown | Outcome::Aborted)
        && matches!(end.old, State::Established | State::CloseWait)
        && end.socket.unread() > 0
}
