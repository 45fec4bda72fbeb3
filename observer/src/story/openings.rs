//! Beginnings of connections whose end has not begun. Their stories, which begin with the end, take them over.

use rustc_hash::FxHashMap;

use super::{Opening, chain::TWICE_NS, table::Lost};
use crate::event::{SockId, Socket};

/// By socket. Bounded: what does not fit is counted.
#[derive(Debug, Default)]
pub(super) struct Openings {
    known: FxHashMap<SockId, Opening>,
}

impl Openings {
    /// Whether this beginning is remembered: it is reported twice, or is the rest of a handshake that began with Fast
    /// Open's SYN.
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

    /// Remembers a beginning. One that is remembered already is of a connection whose end nobody saw.
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

    /// Forgets a beginning that is another connection's than the one this record shows, whose end nobody saw.
    pub(super) fn check(&mut self, sock: SockId, socket: &Socket, lost: &mut Lost) {
        if self.known.get(&sock).is_some_and(|opening| !opening.fits(socket)) {
            self.known.remove(&sock);
            lost.unseen_ends += 1;
        }
    }

    /// What is remembered of a socket, which is then forgotten.
    pub(super) fn take(&mut self, sock: SockId) -> Option<Opening> {
        self.known.remove(&sock)
    }
}
