//! Failed sends of connections whose end has not begun. The story, which begins with the end, takes them over.
//!
//! In: failed sends without a story. Out: their number per errno.
//! Bounded: the latest sockets are remembered, at least [`REMEMBERED`] of them. Forgotten ones are counted.

use std::{collections::BTreeMap, mem};

use rustc_hash::FxHashMap;

use super::output::Lost;
use crate::event::SockId;

/// Number of sockets that are certainly remembered. At most twice as many are.
pub(super) const REMEMBERED: usize = 4096;

type ByErrno = BTreeMap<u32, u32>;

/// Two generations: when the later one is full, the earlier one is forgotten.
#[derive(Debug, Default)]
pub(super) struct EarlyErrors {
    later: FxHashMap<SockId, ByErrno>,
    earlier: FxHashMap<SockId, ByErrno>,
}

impl EarlyErrors {
    /// Remembers one failed send. Returns true if other sockets were forgotten to make room.
    pub(super) fn note(&mut self, sock: SockId, errno: u32, lost: &mut Lost) -> bool {
        let mut errors = self.take(sock);
        *errors.entry(errno).or_default() += 1;
        let mut forgotten = 0;
        if self.later.len() >= REMEMBERED {
            forgotten = self.earlier.len();
            self.earlier = mem::take(&mut self.later);
        }
        self.later.insert(sock, errors);
        lost.early_errors += forgotten as u64;
        forgotten > 0
    }

    /// Removes and returns the errors of a socket: a story takes them, or another connection uses the socket now.
    pub(super) fn take(&mut self, sock: SockId) -> ByErrno {
        self.later.remove(&sock).or_else(|| self.earlier.remove(&sock)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFAULT: u32 = 14;
    const EINVAL: u32 = 22;

    #[test]
    fn errors_are_counted_and_taken_once() {
        let (mut errors, mut lost) = (EarlyErrors::default(), Lost::default());
        for errno in [EFAULT, EINVAL, EFAULT] {
            assert!(!errors.note(SockId(1), errno, &mut lost));
        }
        assert_eq!(errors.take(SockId(2)), ByErrno::new());
        assert_eq!(errors.take(SockId(1)), ByErrno::from([(EFAULT, 2), (EINVAL, 1)]));
        assert_eq!(errors.take(SockId(1)), ByErrno::new());
    }

    #[test]
    fn the_latest_sockets_are_remembered_and_no_more_than_two_generations() {
        let (mut errors, mut lost) = (EarlyErrors::default(), Lost::default());
        let sockets = 5 * REMEMBERED as u64;
        for sock in 0..sockets {
            errors.note(SockId(0), EFAULT, &mut lost);
            errors.note(SockId(sock), EFAULT, &mut lost);
            assert!(errors.later.len() + errors.earlier.len() <= 2 * REMEMBERED);
        }
        let kept = errors.later.len() + errors.earlier.len();
        assert_eq!(kept as u64 + lost.early_errors, sockets, "forgotten sockets are counted");
        for sock in sockets - REMEMBERED as u64 + 1..sockets {
            assert_eq!(errors.take(SockId(sock)).len(), 1, "socket {sock} is forgotten");
        }
        assert_eq!(errors.take(SockId(1)), ByErrno::new());
        let often = errors.take(SockId(0));
        assert_eq!(
            often.values().sum::<u32>(),
            5 * 4096 + 1,
            "a socket whose sends keep failing keeps its count"
        );
    }
}
