//! The chain of states of one connection, and whether a record continues it.
//!
//! The kernel uses the memory of a socket again, and records can be lost. So a record that names a known socket may be of
//! another connection. Three things tell: the state that it leaves, both ends of the socket, and the sequence numbers
//! that cannot move any more.

use super::{FinSent, PeerFin, Story};
use crate::event::{Socket, State};

/// Two programs are attached to a hook, and now and then both report the same event (`again` on the kernel side):
/// within less than this of each other.
pub(super) const TWICE_NS: u64 = 1_000_000;

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub ns: u64,
    /// State before.
    pub old: State,
    /// State after.
    pub new: State,
}

/// The states that were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// The state that the first record left, or in which the first reset came.
    pub first: Option<State>,
    /// The last change.
    pub last: Option<Change>,
    /// Bits of [`State`] numbers: every state that the connection left or entered.
    visited: u16,
    /// A change was missed in the middle: its record was lost.
    pub gap: bool,
}

/// What a change of state is to a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The next one.
    Next,
    /// The next one after one that was lost.
    AfterGap,
    /// The last one, reported again.
    Again,
    /// A change of another connection, which has the same memory now.
    OfAnother,
}

impl Chain {
    /// Whether the connection was seen in this state.
    #[must_use]
    pub const fn visited(&self, state: State) -> bool {
        self.visited & bit(state) != 0
    }

    /// Whether it began before the first record: a FIN or more came earlier, unseen.
    #[must_use]
    pub const fn starts_late(&self) -> bool {
        !matches!(self.first, None | Some(State::SynSent | State::SynRecv | State::Established))
    }

    /// Takes note of a reset in this state, of a socket that was `closed` or not.
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

    /// Takes note of a change.
    pub(super) fn extend(&mut self, change: Change) {
        self.first.get_or_insert(change.old);
        self.last = Some(change);
        self.visited |= bit(change.old) | bit(change.new);
    }
}

/// An orphan's FIN_WAIT1 to FIN_WAIT2 has no record: most go on to CLOSE at once.
const fn is_unreported(last: State, state: State, orphan: bool) -> bool {
    matches!((last, state), (State::FinWait1, State::FinWait2)) && orphan
}

/// Whether a reset in this state can be of the story's connection.
pub(super) fn may_be_reset_in(story: &Story, state: State) -> bool {
    let Some(last) = story.chain.last.map(|change| change.new).or(story.chain.first) else { return true };
    state == State::Close || last == State::Close || last == state || leads_to(last, state)
}

const fn bit(state: State) -> u16 {
    1 << state as u16
}

/// What a change from `old` to `new` is to the story so far.
pub(super) fn link(story: &Story, change: Change, socket: &Socket) -> Link {
    let Change { ns, old, new } = change;
    if !is_same_socket(story, socket) {
        return Link::OfAnother;
    }
    let Some(last) = story.chain.last else {
        // Only a reset was seen: it came in the state that is left now.
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
    // Sequence numbers can show that it is the same connection. Without any, a gap is as good as another connection.
    if leads_to(last.new, old) && is_proved(story) { Link::AfterGap } else { Link::OfAnother }
}

/// Whether both ends, the namespace, the file and the sequence numbers that stand still are those of the story.
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
        // tcp_disconnect() clears the remote port, and the local address if it was not bound.
        let disconnected = now.remote.port() == 0 || then.remote.port() == 0;
        now.netns == then.netns && (disconnected || now.remote == then.remote && now.local == then.local)
    })
}

/// Nothing can be written after our FIN, and it takes one number itself (`tcp_send_fin()`; without memory it takes none).
const fn fits_our_fin(fin: &FinSent, socket: &Socket) -> bool {
    let beyond = socket.write_seq.wrapping_sub(fin.write_seq);
    // What is acknowledged lies within what was written.
    beyond <= 1 && socket.write_seq.wrapping_sub(socket.snd_una) < 1 << 31
}

/// Nothing is received after the peer's FIN (`tcp_fin()`).
const fn fits_peer_fin(fin: &PeerFin, socket: &Socket) -> bool {
    socket.rcv_nxt == fin.rcv_nxt
}

/// Whether a FIN was seen, whose sequence number tells one connection from another.
const fn is_proved(story: &Story) -> bool {
    story.fin_sent.is_some() || story.peer_fin.is_some()
}

/// Whether a connection in the one state can come to the other (RFC 9293 section 3.3.2, figure 5).
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
