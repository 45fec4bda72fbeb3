//! Which event belongs to which connection, and when a story is ready to be told.
//!
//! Comes in: events in the order of the ring buffer, and the time now and then ([`StoryTable::expire`]).
//! Goes out: [`Emitted`]. Bounded: what does not fit is counted, never silent.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use rustc_hash::FxHashMap;

use super::{
    Change, Opening, Story,
    chain::{self, Link},
    early_errors::EarlyErrors,
    openings::Openings,
};
use crate::event::{Body, Endpoints, Event, SockId, Socket, State};

/// How long an ended connection that nobody holds waits for its last signs: a reset that late data provokes is
/// traced after the socket's end, and records of two CPUs may overtake each other.
pub const SETTLE_NS: u64 = 20_000_000;

/// How long an ended connection whose descriptor is still open waits for its process to show itself, by a failing
/// write or by `close()`.
pub const GRACE_NS: u64 = 250_000_000;

/// Deadlines beyond twice the number of stories that may be of stories that are over.
const LINGERING_SPARE: usize = 1024;

/// TableLimits of a table, in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Connections whose end has begun.
    pub stories: usize,
    /// Connections whose beginning is remembered.
    pub openings: usize,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self { stories: 262_144, openings: 524_288 }
    }
}

/// Something to tell.
#[derive(Debug)]
pub enum Emitted<'a> {
    /// A connection has ended.
    Close(&'a Story),
    /// A send failed.
    WriteError {
        /// The connection's story so far; None when nothing of an end was seen.
        story: Option<&'a Story>,
        /// The failing send: its body is [`Body::WriteError`].
        event: &'a Event,
    },
    /// A reset was sent for no live connection: the body is [`Body::StrayReset`].
    StrayReset(&'a Event),
    /// The time of a lingering `close()` is over; whether it was still waiting is for `classify` to say.
    LingerDeadline(&'a Story),
}

/// What the table could not keep, or missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Events of connections that did not fit.
    pub stories: u64,
    /// Beginnings that did not fit; the verdict then does not know the duration.
    pub openings: u64,
    /// Connections whose failed sends did not fit; verdicts of connections that were open then lack records.
    pub early_errors: u64,
    /// Connections whose socket is another's already, though nothing told of their end. The kernel runs no program in
    /// a process that it shields, nor for what packets do while that one is on the CPU; or a record was lost.
    pub unseen_ends: u64,
}

/// A connection whose process is to be found by other means; [`Body::Owner`] or [`Body::NoOwner`] is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unowned {
    /// The socket.
    pub sock: SockId,
    /// The time that the answer must have.
    pub ns: u64,
    /// Whose process to find.
    pub wanted: WantedOwner,
    /// When the connection ended.
    pub ended_ns: u64,
}

/// The process to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedOwner {
    /// The one that has the socket with this inode.
    Holder(u64),
    /// The one that listens on the local address: nobody had accepted the connection.
    Listener(Endpoints),
}

struct Entry {
    story: Story,
    told: bool,
    /// When nobody was found to have the socket.
    looked_ns: Option<u64>,
    /// It was due and has been given more time.
    patient: bool,
}

impl Entry {
    /// Until when a record of the connection may come; None while its end is still to come, or a process has the socket.
    fn last_sign_ns(&self) -> Option<u64> {
        let over_ns = self.story.gone_ns.filter(|_| self.story.end.is_some())?;
        let late_ns = if self.story.awaits_reset() { SETTLE_NS + GRACE_NS } else { SETTLE_NS };
        Some(over_ns.saturating_add(late_ns))
    }

    /// Until when the story is worth waiting for once more, if it is.
    fn more_time(&self, due_ns: u64) -> Option<u64> {
        if self.patient {
            None
        } else if self.story.awaits_reset() {
            Some(due_ns + GRACE_NS)
        } else if self.story.awaits_holder() {
            // Who had closed by then has a record, which is not read yet where records wait.
            self.looked_ns.map(|looked_ns| looked_ns + SETTLE_NS).filter(|at_ns| *at_ns > due_ns)
        } else {
            None
        }
    }
}

/// A story that is ready at `at_ns`, unless it was told before.
struct Due {
    at_ns: u64,
    sock: SockId,
    first_ns: u64,
}

/// Stories by socket.
///
/// Nobody chooses the names of sockets, so that a quick hash will do. Entries are boxed: a table that grows moves what
/// is in it.
pub struct StoryTable {
    limits: TableLimits,
    openings: Openings,
    stories: FxHashMap<SockId, Box<Entry>>,
    /// In order of time, since all wait equally long.
    settling: VecDeque<Due>,
    waiting: VecDeque<Due>,
    /// By deadline: sockets linger as long as each was told to.
    lingering: BinaryHeap<Reverse<(u64, SockId, u64)>>,
    /// Records older than this were lost; 0 when none were.
    lost_until_ns: u64,
    early_errors: EarlyErrors,
    lost: Lost,
}

impl StoryTable {
    /// An empty table.
    #[must_use]
    pub fn new(limits: TableLimits) -> Self {
        Self {
            limits,
            openings: Openings::default(),
            stories: FxHashMap::default(),
            settling: VecDeque::new(),
            waiting: VecDeque::new(),
            lingering: BinaryHeap::new(),
            lost_until_ns: 0,
            early_errors: EarlyErrors::default(),
            lost: Lost::default(),
        }
    }

    /// What is above a new limit stays until its end.
    pub const fn set_limits(&mut self, limits: TableLimits) {
        self.limits = limits;
    }

    /// Connections whose end has begun and that somebody still holds, or that are not told yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stories.len()
    }

    /// Whether no connection is ending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stories.is_empty()
    }

    /// Connections that are half-closed now.
    pub fn half_closed(&self) -> impl Iterator<Item = &Story> {
        self.stories.values().map(|entry| &entry.story).filter(|story| story.half_closed().is_some())
    }

    /// What did not fit or was missed so far.
    #[must_use]
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event, tell: &mut impl FnMut(Emitted<'_>)) {
        match &event.body {
            Body::Opened { by, endpoints, inode, early } => {
                let (endpoints, inode, early) = (*endpoints, *inode, *early);
                let opening = Opening { ns: event.ns, by: *by, task: event.task, endpoints, inode, early };
                if self.openings.is_known(event.sock, &opening) {
                    return;
                }
                self.finish(event.sock, tell);
                self.early_errors.take(event.sock);
                self.openings.note(event.sock, opening, self.limits.openings, &mut self.lost);
            }
            Body::RecordsLost { since_ns, until_ns, .. } => self.mark_lost(*since_ns, *until_ns),
            Body::StrayReset { .. } => tell(Emitted::StrayReset(event)),
            Body::WriteError { errno, socket, .. } => {
                // A failing write is a sign of an end only where the end has begun. Who writes to a socket that nobody
                // has any more writes to another one, in the same place, that never had a connection.
                let entry = self.stories.get_mut(&event.sock);
                let entry = entry.filter(|entry| {
                    entry.story.gone_ns.is_none_or(|gone_ns| event.ns <= gone_ns)
                        && chain::has_same_ends(&entry.story, socket)
                });
                let story = entry.map(|entry| {
                    entry.story.note(event);
                    &entry.story
                });
                if story.is_none() && self.early_errors.note(event.sock, *errno, &mut self.lost) {
                    // Whose they were is not known any more.
                    self.lost_until_ns = self.lost_until_ns.max(event.ns);
                }
                tell(Emitted::WriteError { story, event });
            }
            Body::Destroyed { .. } => self.destroyed(event, tell),
            Body::LingerInterrupted { .. }
            | Body::LingerOver { .. }
            | Body::FinQueued { .. }
            | Body::Owner => {
                // None begins a story: a socket that never connected is destroyed too.
                if let Some(entry) = self.stories.get_mut(&event.sock) {
                    entry.story.note(event);
                    self.after(event);
                }
            }
            Body::NoOwner { looked_ns } => {
                if let Some(entry) = self.stories.get_mut(&event.sock) {
                    entry.looked_ns = Some(*looked_ns);
                }
            }
            Body::StateChange { old, new, socket } => {
                let change = Change { ns: event.ns, old: *old, new: *new };
                let known = self.stories.get(&event.sock).map(|entry| &entry.story);
                match known.map(|story| chain::link(story, change, socket)) {
                    Some(Link::Again) => return,
                    Some(Link::OfAnother) => self.finish(event.sock, tell),
                    Some(Link::Next | Link::AfterGap) | None => {}
                }
                // connect() that failed before its SYN: there was no connection.
                if (*old, *new) == (State::SynSent, State::Close) && !socket.syn_sent() {
                    self.openings.take(event.sock);
                    return;
                }
                self.openings.check(event.sock, socket, &mut self.lost);
                self.check_opening_of_story(event.sock, socket);
                self.note(event);
            }
            // It follows its change to CLOSE: where that story is over already, this is the second word of it.
            Body::ResetSent { state: State::Close, .. } if !self.stories.contains_key(&event.sock) => {}
            Body::ResetSent { state, .. } | Body::ResetReceived { state } => {
                let known = self.stories.get(&event.sock).map(|entry| &entry.story);
                if known.is_some_and(|story| !chain::may_be_reset_in(story, *state)) {
                    self.finish(event.sock, tell);
                }
                self.note(event);
            }
        }
    }

    /// Tells what is ready at `now_ns`.
    pub fn expire(&mut self, now_ns: u64, tell: &mut impl FnMut(Emitted<'_>)) {
        // A tick late: the kernel's timers round up, and an acknowledgement of the last moment must be in.
        while let Some(Reverse((at_ns, sock, first_ns))) = self.lingering.peek().copied()
            && at_ns.saturating_add(SETTLE_NS) <= now_ns
        {
            self.lingering.pop();
            let entry = self.stories.get(&sock).filter(|entry| entry.story.first_ns == first_ns);
            if let Some(entry) = entry {
                tell(Emitted::LingerDeadline(&entry.story));
            }
        }
        while let Some(due) = pop_due(&mut self.settling, now_ns) {
            self.tell_due(&due, tell);
        }
        while let Some(due) = pop_due(&mut self.waiting, now_ns) {
            self.tell_due(&due, tell);
        }
    }

    /// Stories that are due by `until_ns`, still held by somebody, and nobody was seen.
    pub fn unowned(&self, until_ns: u64) -> impl Iterator<Item = Unowned> {
        let due = self.waiting.iter().take_while(move |due| due.at_ns <= until_ns);
        due.filter_map(|due| {
            let entry = self.stories.get(&due.sock).filter(|entry| entry.story.first_ns == due.first_ns)?;
            let story = &entry.story;
            let holder = story.awaits_holder().then_some(WantedOwner::Holder(story.inode));
            let wanted = holder.or_else(|| story.awaits_listener().map(WantedOwner::Listener));
            let wanted = wanted.filter(|_| !entry.told && entry.looked_ns.is_none());
            // Before the story is told, in a recording too.
            let ns = due.at_ns.saturating_sub(1);
            let ended_ns = entry.story.end.map_or(due.at_ns, |end| end.ns);
            wanted.map(|wanted| Unowned { sock: due.sock, ns, wanted, ended_ns })
        })
    }

    /// Tells every story that has an end, ready or not: nothing more will come. A close() that still lingers may yet be
    /// acknowledged.
    pub fn finish_all(&mut self, tell: &mut impl FnMut(Emitted<'_>)) {
        self.lingering.clear();
        self.expire(u64::MAX, tell);
    }

    /// Forgets the opening that a story began with, where it is another connection's.
    fn check_opening_of_story(&mut self, sock: SockId, socket: &Socket) {
        if let Some(entry) = self.stories.get_mut(&sock)
            && entry.story.opening.is_some_and(|opening| !opening.fits(socket))
        {
            entry.story.opening = None;
            self.lost.unseen_ends += 1;
        }
    }

    /// Records of this time were lost: every connection that was alive then may lack some.
    fn mark_lost(&mut self, since_ns: u64, until_ns: u64) {
        self.lost_until_ns = self.lost_until_ns.max(until_ns);
        for entry in self.stories.values_mut() {
            entry.story.records_lost |= entry.last_sign_ns().is_none_or(|last_ns| last_ns >= since_ns);
        }
    }

    /// A socket's last sign. Where its story has no end, the record of that was lost.
    fn destroyed(&mut self, event: &Event, tell: &mut impl FnMut(Emitted<'_>)) {
        self.early_errors.take(event.sock);
        let Some(entry) = self.stories.get_mut(&event.sock) else {
            // A connection that was seen to begin ends before its socket does.
            self.lost.unseen_ends += u64::from(self.openings.take(event.sock).is_some());
            return;
        };
        entry.story.note(event);
        if entry.story.end.is_some() {
            self.after(event);
        } else {
            self.finish(event.sock, tell);
        }
    }

    fn note(&mut self, event: &Event) {
        if !self.stories.contains_key(&event.sock) {
            if self.stories.len() >= self.limits.stories {
                // The opening stays: what is left of the connection may yet find room.
                self.lost.stories += 1;
                return;
            }
            let opening = self.openings.take(event.sock);
            let mut story = Story::new(event.sock, event.ns, opening);
            story.write_errors = self.early_errors.take(event.sock);
            // Of a connection without an opening nobody knows how old it is.
            let began_ns = opening.map_or(0, |opening| opening.ns);
            story.records_lost = self.lost_until_ns > 0 && began_ns <= self.lost_until_ns;
            let entry = Entry { story, told: false, looked_ns: None, patient: false };
            self.stories.insert(event.sock, Box::new(entry));
        }
        if let Some(entry) = self.stories.get_mut(&event.sock) {
            entry.story.note(event);
            self.after(event);
        }
    }

    /// Plans the telling of a story that has just ended, or whose holder has just let go.
    fn after(&mut self, event: &Event) {
        let Some(entry) = self.stories.get(&event.sock) else { return };
        let story = &entry.story;
        // Once: the deadline follows from the call, and this is the event that told of it.
        if let Some(deadline_ns) = story.linger_deadline_ns()
            && story.close_call.is_some_and(|call| call.ns == event.ns)
            && story.end.is_none()
        {
            self.lingering.push(Reverse((deadline_ns, event.sock, story.first_ns)));
            // Most have ended long before their deadline, which may be weeks away.
            if self.lingering.len() > 2 * self.stories.len() + LINGERING_SPARE {
                let stories = &self.stories;
                self.lingering.retain(|Reverse((_, sock, first_ns))| {
                    stories.get(sock).is_some_and(|entry| entry.story.first_ns == *first_ns)
                });
            }
        }
        let due = |wait| Due { at_ns: event.ns + wait, sock: event.sock, first_ns: story.first_ns };
        if story.end.is_none() {
            return;
        }
        if story.gone_ns == Some(event.ns) {
            self.settling.push_back(due(SETTLE_NS));
        } else if story.end.is_some_and(|end| end.ns == event.ns) {
            self.waiting.push_back(due(GRACE_NS));
        }
    }

    fn tell_due(&mut self, due: &Due, tell: &mut impl FnMut(Emitted<'_>)) {
        let Some(entry) = self.stories.get_mut(&due.sock) else { return };
        if entry.story.first_ns != due.first_ns {
            return;
        }
        if !entry.told
            && let Some(at_ns) = entry.more_time(due.at_ns)
        {
            entry.patient = true;
            self.waiting.push_back(Due { at_ns, ..*due });
            return;
        }
        if !entry.told {
            entry.told = true;
            tell(Emitted::Close(&entry.story));
        }
        // While a process has the descriptor its failing writes are still to be explained.
        if entry.story.gone_ns.is_some() {
            self.stories.remove(&due.sock);
        }
    }

    /// The socket is another connection's now.
    fn finish(&mut self, sock: SockId, tell: &mut impl FnMut(Emitted<'_>)) {
        if let Some(entry) = self.stories.remove(&sock)
            && !entry.told
        {
            self.lost.unseen_ends += u64::from(entry.story.end.is_none());
            tell(Emitted::Close(&entry.story));
        }
    }
}

fn pop_due(queue: &mut VecDeque<Due>, now_ns: u64) -> Option<Due> {
    if queue.front()?.at_ns <= now_ns { queue.pop_front() } else { None }
}

#[cfg(test)]
mod tests;
