//! Who closed first, and for how long only one side had.
//!
//! What counts is what was sent. A FIN that waits in the send queue has closed nothing yet.

use super::{
    Ruling,
    verdict::{FinProgress, FirstClose, HalfClosedTimes, Outcome},
};
use crate::{event::State, story::Story, words::Side};

/// Who sent the first FIN or RST.
pub(super) fn first_close(story: &Story, ruling: &Ruling) -> FirstClose {
    match first_fin(story) {
        Some(Side::Local) => FirstClose::Local,
        Some(Side::Remote) => FirstClose::Remote,
        None if story.chain.visited(State::Closing) => FirstClose::Simultaneous,
        None if story.chain.visited(State::FinWait1) && fin_sent(story).is_none() => FirstClose::Unknown,
        None => first_reset(story, ruling),
    }
}

/// Who sent the first RST of a connection without a FIN.
fn first_reset(story: &Story, ruling: &Ruling) -> FirstClose {
    if ruling.local_reset_ns(story).is_some() {
        FirstClose::Local
    } else if ruling.remote_reset_ns(story).is_some() || ruling.outcome == Outcome::ResetReceived {
        FirstClose::Remote
    } else if ruling.outcome == Outcome::Unknown {
        FirstClose::Unknown
    } else {
        FirstClose::None
    }
}

/// Whether the FIN that our side queued has left; None when nothing tells.
fn fin_sent(story: &Story) -> Option<bool> {
    if story.fin_sent.is_some_and(|fin| fin.left_at_once) {
        return Some(true);
    }
    match story.end {
        Some(end) => Some(end.socket.all_sent()),
        None => story.fin_acked_ns.map(|_| true),
    }
}

/// What became of our FIN.
pub(super) fn fin(story: &Story, end_ns: u64) -> Option<FinProgress> {
    let fin = story.fin_sent?;
    Some(FinProgress {
        sent: fin_sent(story),
        at_once: fin.left_at_once,
        acked_ns: fin_acked_ns(story).map(|acked_ns| acked_ns.saturating_sub(fin.ns)),
        queued_ns: end_ns.saturating_sub(fin.ns),
    })
}

/// When our FIN was acknowledged. An orphan shows that only by its end.
fn fin_acked_ns(story: &Story) -> Option<u64> {
    story.fin_acked_ns.or_else(|| {
        let end = story.end.filter(|end| end.socket.all_acked())?;
        matches!(end.old, State::FinWait2 | State::Closing | State::LastAck).then_some(end.ns)
    })
}

/// For how long only one side had sent its FIN; None where that never was, or where the time is not known.
pub(super) fn half_closed(story: &Story, end_ns: u64) -> HalfClosedTimes {
    let none = HalfClosedTimes::default();
    if story.end.is_none() {
        return none;
    }
    let theirs = story.peer_fin.map(|fin| fin.ns);
    match (first_fin(story), story.fin_sent) {
        (Some(Side::Local), Some(fin)) => {
            // A FIN that waited left some time before its acknowledgement. Of an orphan that is the end itself.
            let left_ns = if fin.left_at_once { Some(fin.ns) } else { story.fin_acked_ns };
            let local_ns = left_ns.and_then(|left_ns| theirs.unwrap_or(end_ns).checked_sub(left_ns));
            HalfClosedTimes { local_ns, ..none }
        }
        (Some(Side::Remote), ours) => {
            let until_ns = match ours {
                Some(fin) if fin.left_at_once => Some(fin.ns),
                // It never left: the end is what ended it.
                Some(_) if fin_sent(story) == Some(false) => Some(end_ns),
                Some(_) => None,
                None if story.chain.visited(State::LastAck) => None,
                None => Some(end_ns),
            };
            let remote_ns = theirs.zip(until_ns).and_then(|(from_ns, to_ns)| to_ns.checked_sub(from_ns));
            HalfClosedTimes { remote_ns, ..none }
        }
        _ => none,
    }
}

/// Whose FIN was the first on the wire; None for crossed FINs and where there was none.
///
/// The states tell the order of two FINs by themselves: CLOSE_WAIT and LAST_ACK are those of the side that was closed
/// first, FIN_WAIT2 is that of the side whose FIN was acknowledged before the other came (RFC 9293 section 3.6).
fn first_fin(story: &Story) -> Option<Side> {
    let visited = |state| story.chain.visited(state);
    if visited(State::CloseWait) || visited(State::LastAck) || story.crossed == Some(false) {
        Some(Side::Remote)
    } else if visited(State::Closing) {
        None
    } else if visited(State::FinWait2) || visited(State::FinWait1) && fin_sent(story) == Some(true) {
        Some(Side::Local)
    } else {
        None
    }
}
