//! The chain of states of one connection, and whether a record continues it.
//!
//! The kernel reuses the address of a socket, and records can be lost. So a record with a known socket may belong to
//! another connection. Three things decide: the state before the change, both ends of the socket, and the sequence
//! numbers that cannot move any more after a FIN.

use super::{FinSent, PeerFin, Story};
use crate::event::{Socket, State};

/// A hook has two programs, and sometimes both report the same event (`reentrancy` on the kernel side). The second
/// report comes within this time, ns.
pub(super) const TWICE_NS: u64 = 1_000_000;

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// State before.
    pub old: State,
    /// State after.
    pub new: State,
}

/// The states that were seen of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// The state before the first change, or in which the first reset came. None before any.
    pub first: Option<State>,
    /// The last change.
    pub last: Option<Change>,
    /// Every state that the connection left or entered: bit n is variant n of [`State`].
    visited: u16,
    /// The record of a change in the middle was lost.
    pub gap: bool,
}

/// How a change of state relates to a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It continues the chain.
    Next,
    /// It belongs to the connection, and a change before it was lost.
    AfterGap,
    /// It repeats the last change.
    Again,
    /// It belongs to another connection, which has the same socket address now.
    OfAnother,
}

impl Chain {
    /// Whether the connection was seen in this state.
    #[must_use]
    pub const fn visited(&self, state: State) -> bool {
        self.visited & bit(state) != 0
    }

    /// Whether the first record came after a FIN, which was not seen.
    #[must_use]
    pub const fn starts_late(&self) -> bool {
        !matches!(self.first, None | Some(State::SynSent | State::SynRecv | State::Established))
    }

    /// Adds a reset in this state. `closed` says whether `close()` has been called.
    pub(super) fn pass(&mut self, state: State, closed: bool) {
        if state == State::Close {
            return;
        }
        self.first.get_or_insert(state);
        self.gap |= self.last.is_some_and(|last| {
            last.new != State::Close && last.new != state && !is_unreported(last.new, state, closed)
        });
        self.visited |= bit(state);
    }

    /// Adds a change.
    pub(super) fn extend(&mut self, change: Change) {
        self.first.get_or_insert(change.old);
        self.last = Some(change);
        self.visited |= bit(change.old) | bit(change.new);
    }
}

/// Whether the change between the two states has no record. An orphan's change from FIN_WAIT1 to FIN_WAIT2 has none,
/// because most orphans go on to CLOSE at once.
const fn is_unreported(last: State, state: State, orphan: bool) -> bool {
    matches!((last, state), (State::FinWait1, State::FinWait2)) && orphan
}

/// Whether a reset in this state can belong to the story's connection.
pub(super) fn may_be_reset_in(story: &Story, state: State) -> bool {
    let Some(last) = story.chain.last.map(|change| change.new).or(story.chain.first) else { return true };
    state == State::Close || last == State::Close || last == state || leads_to(last, state)
}

const fn bit(state: State) -> u16 {
    1 << state as u16
}

/// How a change relates to the story so far.
pub(super) fn link(story: &Story, change: Change, socket: &Socket) -> Link {
    let Change { ns, old, new } = change;
    if !is_same_socket(story, socket) {
        return Link::OfAnother;
    }
    let Some(last) = story.chain.last else {
        // Only a reset was seen, in the state before this change.
        return match story.chain.first {
            Some(first) if first != old && !leads_to(first, old) => Link::OfAnother,
            Some(first) if first != old => Link::AfterGap,
            _ => Link::Next,
        };
    };
    if (last.old, last.new) == (old, new) && old != new && ns.saturating_sub(last.ns) < TWICE_NS {
        return Link::Again;
    }
    if last.new == old || is_unreported(last.new, old, socket.flags.dead) {
        return Link::Next;
    }
    // Sequence numbers can show that it is the same connection. Without them a gap counts as another connection.
    if leads_to(last.new, old) && has_fin(story) { Link::AfterGap } else { Link::OfAnother }
}

/// Whether both ends, the namespace, the file and the final sequence numbers are those of the story.
fn is_same_socket(story: &Story, socket: &Socket) -> bool {
    has_same_ends(story, socket)
        && story.fin_sent.is_none_or(|fin| fits_our_fin(&fin, socket))
        && story.peer_fin.is_none_or(|fin| fits_peer_fin(&fin, socket))
}

/// Whether both ends, the namespace and the file are those of the story.
pub(super) fn has_same_ends(story: &Story, socket: &Socket) -> bool {
    if story.inode != 0 && socket.inode != 0 && story.inode != socket.inode {
        return false;
    }
    story.endpoints.is_none_or(|then| {
        let now = socket.endpoints;
        // tcp_disconnect() clears the remote port, and the local address unless it was bound.
        let disconnected = now.remote.port() == 0 || then.remote.port() == 0;
        now.netns == then.netns && (disconnected || now.remote == then.remote && now.local == then.local)
    })
}

/// Whether `write_seq` is final after our FIN. The FIN takes one number itself, or none if `tcp_send_fin()` has no
/// memory.
const fn fits_our_fin(fin: &FinSent, socket: &Socket) -> bool {
    let beyond = socket.write_seq.wrapping_sub(fin.write_seq);
    // Only written data can be acknowledged.
    beyond <= 1 && socket.write_seq.wrapping_sub(socket.snd_una) < 1 << 31
}

/// Whether `rcv_nxt` is final after the peer's FIN (`tcp_fin()`).
const fn fits_peer_fin(fin: &PeerFin, socket: &Socket) -> bool {
    socket.rcv_nxt == fin.rcv_nxt
}

/// Whether a FIN was seen: its sequence number distinguishes connections.
const fn has_fin(story: &Story) -> bool {
    story.fin_sent.is_some() || story.peer_fin.is_some()
}

/// Whether a connection can get from one state to the other before CLOSE (RFC 9293 section 3.3.2, figure 5).
const fn leads_to(from: State, to: State) -> bool {
    use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent};
    match from {
        SynSent => matches!(to, SynRecv | Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck),
        SynRecv => matches!(to, Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck),
        Established => matches!(to, FinWait1 | FinWait2 | CloseWait | Closing | LastAck),
        FinWait1 => matches!(to, FinWait2 | Closing),
        CloseWait => matches!(to, LastAck),
        _ => false,
    }
}
