//! Verdicts. In: a [`Story`]. Out: a [`Verdict`].
//!
//! Pure and total: no clock, no I/O, and every story has a verdict. Undecidable ones are [`Cause::Unknown`] and name
//! the missing evidence.

#![deny(clippy::disallowed_methods, clippy::disallowed_macros, reason = "pure: no clock, no I/O")]

mod errno;
mod gaps;
mod linger;
mod order;
mod rules;
mod stray;
pub mod verdict;
mod who;
mod write_error;

use self::verdict::{Bytes, Head, Left, Reset, Verdict};
pub use self::{
    linger::linger_expired,
    rules::{Ruling, decide},
    stray::{StrayCause, stray_cause},
    verdict::{Cause, Evidence, Missing, Outcome},
    write_error::{WriteCause, WriteVerdict, write_error},
};
use crate::{
    event::Endpoints,
    story::Story,
    words::{Side, errno::ECONNRESET},
};

/// Decides how the connection ended.
#[must_use]
pub fn classify(story: &Story) -> Verdict {
    let ruling = decide(story);
    let gaps = gaps::gaps(story, &ruling);
    let evidence = if gaps.is_empty() { ruling.evidence } else { Evidence::Inferred };
    let mut missing = ruling.missing.clone();
    missing.extend(gaps);
    missing.dedup();
    // The next two leave the evidence as it is: what depends on them is null or unknown, and the rest is known.
    if story.opening.is_none() {
        missing.push(Missing::Opening);
    }
    let process = who::process(story, &ruling);
    if process.is_none() {
        missing.push(Missing::Process);
    }
    let action = who::action(story, &ruling);
    let end_ns = story.end.map_or(story.first_ns, |end| end.ns);
    Verdict {
        opener: who::opener(story, process.as_ref()),
        head: Head {
            id: story.id(),
            ns: end_ns,
            endpoints: story.endpoints.unwrap_or(Endpoints::UNKNOWN),
            process,
            outcome: ruling.outcome,
            cause: ruling.cause,
            bytes: bytes(story, &ruling),
            write_errors: story.write_errors.clone(),
            opened_by: story.opening.map(|opening| opening.by),
        },
        inode: story.inode,
        first_close: order::first_close(story, &ruling),
        local_action: action.first,
        last_action: action.last,
        action_known: action.known,
        fin: order::fin(story, end_ns),
        linger: linger::linger(story),
        half_closed: order::half_closed(story, end_ns),
        reset: reset(story, &ruling),
        error: error(story, &ruling),
        duration_ns: story
            .opening
            .filter(|_| story.end.is_some())
            .map(|opening| end_ns.saturating_sub(opening.ns)),
        evidence,
        missing,
        steps: story.steps.clone(),
        left: left(story),
    }
}

/// The facts that the audit needs.
fn left(story: &Story) -> Left {
    Left {
        state: story.end.map(|end| end.old),
        answered: story.reset_sent.as_ref().is_some_and(|sent| !sent.active),
        closed: story.end.is_some_and(|end| end.socket.flags.closing),
        fastopen: story.opening.is_some_and(|opening| opening.early),
    }
}

/// The errno that the end left for the process; 0 for none.
fn error(story: &Story, ruling: &Ruling) -> u32 {
    let Some(end) = story.end else { return 0 };
    match ruling.cause {
        // tcp_disconnect() sets it after the change of state.
        Cause::Disconnect | Cause::ConnectAbandoned if !end.socket.flags.closing => ECONNRESET,
        _ => end.socket.err,
    }
}

/// The queues at the end.
fn bytes(story: &Story, ruling: &Ruling) -> Bytes {
    let Some(end) = story.end else { return Bytes::default() };
    let delivered = ruling.outcome == Outcome::Graceful;
    let queued = |bytes: u32| Some(if delivered { 0 } else { bytes });
    let mut socket = end.socket;
    // The sequence numbers of a TCP Fast Open child start after its SYN. The kernel clears the flag before a reset
    // ends it.
    socket.flags.fastopen |= story.opening.is_some_and(|opening| opening.by == Side::Remote);
    Bytes {
        unread: unread(story, ruling),
        unacked: queued(socket.unacked()),
        unsent: queued(socket.unsent()),
        after_peer_fin: after_peer_fin(story),
    }
}

/// Bytes that were received and discarded unread; None if the record of the close was lost.
fn unread(story: &Story, ruling: &Ruling) -> Option<u32> {
    let end = story.end?;
    match ruling.cause {
        // tcp_disconnect() empties the receive queue after this record.
        Cause::Disconnect | Cause::NeverAccepted => return Some(end.socket.unread()),
        _ => {}
    }
    let discarded = story.close_call.map(|call| call.unread).or(story.unread_at_destruction);
    match discarded {
        Some(unread) => Some(unread),
        // The socket was closed, and no record showed it.
        None if story.gone_ns.is_some() && end.socket.unread() > 0 => None,
        // A process holds the socket and can still read.
        None => Some(0),
    }
}

/// Bytes that were written after the peer's FIN; None if that FIN was not seen.
fn after_peer_fin(story: &Story) -> Option<u32> {
    if gaps::peer_fin_unseen(story) {
        return None;
    }
    let Some(peer) = story.peer_fin else { return Some(0) };
    let written = match (story.fin_sent, story.end) {
        (Some(fin), _) => fin.write_seq,
        (None, Some(end)) => end.socket.write_seq,
        (None, None) => return None,
    };
    // Never negative: if our FIN was first, both numbers are the one before it.
    Some(written.wrapping_sub(peer.write_seq))
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
            // The kernel stores CLOSE before it sends, so the state before the end is more useful.
            in_state: story.end.filter(|end| end.ns <= sent.ns).map_or(sent.state, |end| end.old),
            kernel_reason: sent.reason.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
