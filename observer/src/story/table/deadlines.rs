//! When stories are due.
//!
//! In: the times of ends and of lingering `close()` calls. Out: the deadlines that have passed.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::event::SockId;

/// How long an ended connection that no process holds waits for its last records, ns. A reset that late data provokes
/// is traced after the socket's end, and records of two CPUs may overtake each other.
pub const SETTLE_NS: u64 = 20_000_000;

/// How long an ended connection whose descriptor is still open waits for a sign of its process, ns: a failed write or
/// `close()`.
pub const GRACE_NS: u64 = 250_000_000;

/// The heap of linger deadlines is cleaned when it has this many entries more than twice the number of stories.
pub(super) const LINGERING_SPARE: usize = 1024;

/// A story and its deadline.
pub(super) struct Due {
    /// `CLOCK_MONOTONIC`, ns.
    pub(super) at_ns: u64,
    pub(super) sock: SockId,
    /// [`Story::first_ns`](super::super::Story::first_ns): the socket may have another story by now.
    pub(super) first_ns: u64,
}

/// The deadlines of all stories.
#[derive(Default)]
pub(super) struct Deadlines {
    /// Ordered by time, because all wait equally long.
    settling: VecDeque<Due>,
    /// Ordered by time in the same way.
    waiting: VecDeque<Due>,
    /// Ordered by deadline, because each `close()` has its own time: deadline, socket, `first_ns`.
    pub(super) lingering: BinaryHeap<Reverse<(u64, SockId, u64)>>,
}

impl Deadlines {
    /// No process holds the socket since `ns`.
    pub(super) fn settle(&mut self, ns: u64, sock: SockId, first_ns: u64) {
        self.settling.push_back(Due { at_ns: ns + SETTLE_NS, sock, first_ns });
    }

    /// The connection ended at `ns`, and a process may still hold the socket.
    pub(super) fn wait(&mut self, ns: u64, sock: SockId, first_ns: u64) {
        self.waiting.push_back(Due { at_ns: ns + GRACE_NS, sock, first_ns });
    }

    /// The story gets more time.
    pub(super) fn extend(&mut self, due: &Due, at_ns: u64) {
        self.waiting.push_back(Due { at_ns, ..*due });
    }

    /// A `close()` lingers until `deadline_ns`. Entries that are not `current` are removed from time to time.
    pub(super) fn linger(
        &mut self,
        deadline_ns: u64,
        sock: SockId,
        first_ns: u64,
        stories: usize,
        current: impl Fn(SockId, u64) -> bool,
    ) {
        self.lingering.push(Reverse((deadline_ns, sock, first_ns)));
        // Most connections end long before their deadline, which may be weeks away.
        if self.lingering.len() > 2 * stories + LINGERING_SPARE {
            self.lingering.retain(|Reverse((_, sock, first_ns))| current(*sock, *first_ns));
        }
    }

    /// Forgets every linger deadline.
    pub(super) fn forget_lingering(&mut self) {
        self.lingering.clear();
    }

    /// Takes one linger deadline that has passed: socket and `first_ns`.
    ///
    /// One settling time later, since the kernel's timers round up and an acknowledgement at the last moment must be
    /// read first.
    pub(super) fn pop_lingering(&mut self, now_ns: u64) -> Option<(SockId, u64)> {
        let Reverse((at_ns, sock, first_ns)) = self.lingering.peek().copied()?;
        (at_ns.saturating_add(SETTLE_NS) <= now_ns).then(|| {
            self.lingering.pop();
            (sock, first_ns)
        })
    }

    /// Takes one story that no process holds and that is due.
    pub(super) fn pop_settled(&mut self, now_ns: u64) -> Option<Due> {
        pop(&mut self.settling, now_ns)
    }

    /// Takes one story that has waited for its process long enough.
    pub(super) fn pop_waited(&mut self, now_ns: u64) -> Option<Due> {
        pop(&mut self.waiting, now_ns)
    }

    /// Stories that wait for their process and are due by `until_ns`.
    pub(super) fn waiting_until(&self, until_ns: u64) -> impl Iterator<Item = &Due> {
        self.waiting.iter().take_while(move |due| due.at_ns <= until_ns)
    }
}

fn pop(queue: &mut VecDeque<Due>, now_ns: u64) -> Option<Due> {
    if queue.front()?.at_ns <= now_ns { queue.pop_front() } else { None }
}
