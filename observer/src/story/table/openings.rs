//! Openings of connections whose end has not begun. The story, which begins with the end, takes its opening over.

use rustc_hash::FxHashMap;

use super::{
    super::{Opening, chain::TWICE_NS},
    output::Lost,
};
use crate::event::{SockId, Socket};

/// Openings by socket. Bounded: what does not fit is counted.
#[derive(Debug, Default)]
pub(super) struct Openings {
    known: FxHashMap<SockId, Opening>,
}

impl Openings {
    /// Whether this opening is already remembered. Then it was reported twice, or it completes a handshake that began
    /// with the SYN of TCP Fast Open.
    pub(super) fn is_known(&mut self, sock: SockId, opening: &Opening) -> bool {
        let Some(known) = self.known.get_mut(&sock).filter(|known| known.by == opening.by) else {
            return false;
        };
        if known.early && !opening.early {
            (known.endpoints, known.early) = (opening.endpoints, false);
            return true;
        }
        opening.ns.saturating_sub(known.ns) < TWICE_NS
    }

    /// Remembers an opening. An earlier one of the same socket is of a connection that ended unseen.
    pub(super) fn note(&mut self, sock: SockId, opening: Opening, limit: usize, lost: &mut Lost) {
        if let Some(known) = self.known.get_mut(&sock) {
            lost.unseen_ends += 1;
            *known = opening;
        } else if self.known.len() < limit {
            self.known.insert(sock, opening);
        } else {
            lost.openings += 1;
        }
    }

    /// Forgets the opening if the record shows another connection: the first one ended unseen.
    pub(super) fn check(&mut self, sock: SockId, socket: &Socket, lost: &mut Lost) {
        if self.known.get(&sock).is_some_and(|opening| !opening.fits(socket)) {
            self.known.remove(&sock);
            lost.unseen_ends += 1;
        }
    }

    /// Removes and returns the opening of a socket.
    pub(super) fn take(&mut self, sock: SockId) -> Option<Opening> {
        self.known.remove(&sock)
    }
}
