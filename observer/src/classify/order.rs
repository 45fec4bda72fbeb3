//! Which side closed first, and for how long the connection was half-closed.
//!
//! Only sent segments count. A FIN that waits in the send queue has closed nothing yet.

use super::{
    Ruling,
    verdict::{FinProgress, FirstClose, HalfClosedTimes, Outcome},
};
use crate::{event::State, story::Story, words::Side};

/// The side that sent the first FIN or RST.
pub(super) fn first_close(story: &Story, ruling: &Ruling) -> FirstClose {
    match first_fin(story) {
        Some(Side::Local) => FirstClose::Local,
        Some(Side::Remote) => FirstClose::Remote,
        None if story.chain.visited(State::Closing) => FirstClose::Simultaneous,
        None if story.chain.visited(State::FinWait1) && fin_sent(story).is_none() => FirstClose::Unknown,
        None => first_reset(story, ruling),
    }
}

/// The side that sent the first RST of a connection without a FIN.
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

/// Whether our queued FIN was sent; None if that is not known.
fn fin_sent(story: &Story) -> Option<bool> {
    if story.fin_sent.is_some_and(|fin| fin.left_at_once) {
        return Some(true);
    }
    match story.end {
        Some(end) => Some(end.socket.all_sent()),
        None => story.fin_acked_ns.map(|_| true),
    }
}

/// The progress of our FIN; None if we queued none.
pub(super) fn fin(story: &Story, end_ns: u64) -> Option<FinProgress> {
    let fin = story.fin_sent?;
    Some(FinProgress {
        sent: fin_sent(story),
        at_once: fin.left_at_once,
        acked_ns: fin_acked_ns(story).map(|acked_ns| acked_ns.saturating_sub(fin.ns)),
        queued_ns: end_ns.saturating_sub(fin.ns),
    })
}

/// When our FIN was acknowledged; None if it was not, or not seen. For an orphan only the end shows it.
fn fin_acked_ns(story: &Story) -> Option<u64> {
    story.fin_acked_ns.or_else(|| {
        let end = story.end.filter(|end| end.socket.all_acked())?;
        matches!(end.old, State::FinWait2 | State::Closing | State::LastAck).then_some(end.ns)
    })
}

/// For how long only one side had sent its FIN. None if that never was the case, or if the time is not known.
pub(super) fn half_closed(story: &Story, end_ns: u64) -> HalfClosedTimes {
    let none = HalfClosedTimes::default();
    if story.end.is_none() {
        return none;
    }
    let theirs = story.peer_fin.map(|fin| fin.ns);
    match (first_fin(story), story.fin_sent) {
        (Some(Side::Local), Some(fin)) => {
            // A FIN that waited in the queue was sent some time before its acknowledgement, which is the best known
            // time. For an orphan no record shows it.
            let left_ns = if fin.left_at_once { Some(fin.ns) } else { story.fin_acked_ns };
            let local_ns = left_ns.and_then(|left_ns| theirs.unwrap_or(end_ns).checked_sub(left_ns));
            HalfClosedTimes { local_ns, ..none }
        }
        (Some(Side::Remote), ours) => {
            let until_ns = match ours {
                Some(fin) if fin.left_at_once => Some(fin.ns),
                // Our FIN was never sent, so the end of the connection ended this time.
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

/// The side whose FIN was first on the wire. None if the FINs crossed, or without a FIN.
///
/// The states show the order of two FINs: after CLOSE_WAIT or LAST_ACK the peer's FIN was first. In FIN_WAIT2 our FIN
/// was acknowledged before the peer's came (RFC 9293 section 3.6).
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
