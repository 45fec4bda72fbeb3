//! Which event belongs to which connection, and when a story is ready to be reported.
//!
//! In: events in the order of the ring buffer, and from time to time the time itself ([`StoryTable::expire`]).
//! Out: [`Emitted`]. The table is bounded, and what does not fit is counted in [`Lost`].

mod deadlines;
mod early_errors;
mod entry;
mod openings;
mod output;

use rustc_hash::FxHashMap;

use self::{
    deadlines::{Deadlines, Due},
    early_errors::EarlyErrors,
    entry::Entry,
    openings::Openings,
};
pub use self::{
    deadlines::{GRACE_NS, SETTLE_NS},
    output::{Emitted, FailedWrite, Lost, Stray, Unowned, WantedOwner},
};
use super::{
    Change, Opening, Story,
    chain::{self, Link},
};
use crate::event::{Body, Event, SockId, Socket, State};

/// Limits of a table, in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Connections whose end has begun.
    pub stories: usize,
    /// Connections whose opening is remembered.
    pub openings: usize,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self { stories: 262_144, openings: 524_288 }
    }
}

/// Stories by socket.
///
/// A quick hash is enough, because nobody can choose the names of sockets. Entries are boxed, because a table that
/// grows moves its entries.
pub struct StoryTable {
    limits: TableLimits,
    openings: Openings,
    stories: FxHashMap<SockId, Box<Entry>>,
    deadlines: Deadlines,
    /// Records older than this were lost; `CLOCK_MONOTONIC`, ns; 0 if none were.
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
            deadlines: Deadlines::default(),
            lost_until_ns: 0,
            early_errors: EarlyErrors::default(),
            lost: Lost::default(),
        }
    }

    /// Changes the limits. Entries above a new limit stay until their connection ends.
    pub const fn set_limits(&mut self, limits: TableLimits) {
        self.limits = limits;
    }

    /// Number of connections whose end has begun, and that a process still holds or that are not emitted yet.
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

    /// Counts of everything that did not fit, or was missed, so far.
    #[must_use]
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event, emit: &mut impl FnMut(Emitted<'_>)) {
        match &event.body {
            Body::Opened { by, endpoints, inode, early } => {
                let (endpoints, inode, early) = (*endpoints, *inode, *early);
                let opening = Opening { ns: event.ns, by: *by, task: event.task, endpoints, inode, early };
                self.opened(event.sock, opening, emit);
            }
            Body::RecordsLost { since_ns, until_ns, .. } => self.mark_lost(*since_ns, *until_ns),
            Body::StrayReset { reason, state, asks, endpoints } => emit(Emitted::StrayReset(Stray {
                ns: event.ns,
                reason: reason.as_ref(),
                state: *state,
                asks: *asks,
                endpoints: *endpoints,
            })),
            Body::WriteError { errno, sigpipe, socket } => {
                let (errno, sigpipe, process) = (*errno, *sigpipe, event.task);
                let failed = FailedWrite { ns: event.ns, process, errno, sigpipe, socket };
                self.write_failed(event, failed, emit);
            }
            Body::Destroyed { .. } => self.destroyed(event, emit),
            Body::LingerInterrupted { .. }
            | Body::LingerOver { .. }
            | Body::FinQueued { .. }
            | Body::Owner => {
                // None of these begins a story, because a socket without a connection has them too.
                if let Some(entry) = self.stories.get_mut(&event.sock) {
                    entry.story.note(event);
                    self.schedule(event);
                }
            }
            Body::NoOwner { scanned_ns } => {
                if let Some(entry) = self.stories.get_mut(&event.sock) {
                    entry.scanned_ns = Some(*scanned_ns);
                }
            }
            Body::StateChange { old, new, socket } => {
                let change = Change { ns: event.ns, old: *old, new: *new };
                self.state_changed(event, change, socket, emit);
            }
            // This record follows the change to CLOSE. If that story is over, it repeats the same end.
            Body::ResetSent { state: State::Close, .. } if !self.stories.contains_key(&event.sock) => {}
            Body::ResetSent { state, .. } | Body::ResetReceived { state } => {
                let known = self.stories.get(&event.sock).map(|entry| &entry.story);
                if known.is_some_and(|story| !chain::may_be_reset_in(story, *state)) {
                    self.finish(event.sock, emit);
                }
                self.note(event);
            }
        }
    }

    /// Emits every story that is due at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64, emit: &mut impl FnMut(Emitted<'_>)) {
        while let Some((sock, first_ns)) = self.deadlines.pop_lingering(now_ns) {
            let entry = self.stories.get(&sock).filter(|entry| entry.story.first_ns == first_ns);
            if let Some(entry) = entry {
                emit(Emitted::LingerDeadline(&entry.story));
            }
        }
        while let Some(due) = self.deadlines.pop_settled(now_ns) {
            self.emit_due(&due, emit);
        }
        while let Some(due) = self.deadlines.pop_waited(now_ns) {
            self.emit_due(&due, emit);
        }
    }

    /// Connections that are due by `until_ns` (`CLOCK_MONOTONIC`) and whose process no record has named.
    pub fn unowned(&self, until_ns: u64) -> impl Iterator<Item = Unowned> {
        self.deadlines.waiting_until(until_ns).filter_map(|due| {
            let entry = self.stories.get(&due.sock).filter(|entry| entry.story.first_ns == due.first_ns)?;
            let story = &entry.story;
            let holder = story.awaits_holder().then_some(WantedOwner::Holder(story.inode));
            let wanted = holder.or_else(|| story.awaits_listener().map(WantedOwner::Listener));
            let wanted = wanted.filter(|_| !entry.emitted && entry.scanned_ns.is_none());
            // Before the story is emitted, in a recording too.
            let ns = due.at_ns.saturating_sub(1);
            let ended_ns = entry.story.end.map_or(due.at_ns, |end| end.ns);
            wanted.map(|wanted| Unowned { sock: due.sock, ns, wanted, ended_ns })
        })
    }

    /// Emits every story that has an end, due or not, because no more events will come. A `close()` that still
    /// lingers may yet be acknowledged, so it is not emitted.
    pub fn finish_all(&mut self, emit: &mut impl FnMut(Emitted<'_>)) {
        self.deadlines.forget_lingering();
        self.expire(u64::MAX, emit);
    }

    fn opened(&mut self, sock: SockId, opening: Opening, emit: &mut impl FnMut(Emitted<'_>)) {
        if self.openings.is_known(sock, &opening) {
            return;
        }
        self.finish(sock, emit);
        self.early_errors.take(sock);
        self.openings.note(sock, opening, self.limits.openings, &mut self.lost);
    }

    /// A failed write is a sign of an end only if the end has begun. A write to a socket that no process holds any
    /// more is one to another socket at the same address, which never had a connection.
    fn write_failed(&mut self, event: &Event, failed: FailedWrite<'_>, emit: &mut impl FnMut(Emitted<'_>)) {
        let entry = self.stories.get_mut(&event.sock).filter(|entry| {
            entry.story.gone_ns.is_none_or(|gone_ns| event.ns <= gone_ns)
                && chain::has_same_ends(&entry.story, failed.socket)
        });
        let story = entry.map(|entry| {
            entry.story.note(event);
            &entry.story
        });
        if story.is_none() && self.early_errors.note(event.sock, failed.errno, &mut self.lost) {
            // The connections whose errors were forgotten are not known any more.
            self.lost_until_ns = self.lost_until_ns.max(event.ns);
        }
        emit(Emitted::WriteError { story, failed });
    }

    fn state_changed(
        &mut self,
        event: &Event,
        change: Change,
        socket: &Socket,
        emit: &mut impl FnMut(Emitted<'_>),
    ) {
        let known = self.stories.get(&event.sock).map(|entry| &entry.story);
        match known.map(|story| chain::link(story, change, socket)) {
            Some(Link::Again) => return,
            Some(Link::OfAnother) => self.finish(event.sock, emit),
            Some(Link::Next | Link::AfterGap) | None => {}
        }
        // connect() failed before its SYN: there was no connection.
        if (change.old, change.new) == (State::SynSent, State::Close) && !socket.syn_sent() {
            self.openings.take(event.sock);
            return;
        }
        self.openings.check(event.sock, socket, &mut self.lost);
        self.check_opening_of_story(event.sock, socket);
        self.note(event);
    }

    /// Removes a story's opening if it belongs to another connection.
    fn check_opening_of_story(&mut self, sock: SockId, socket: &Socket) {
        if let Some(entry) = self.stories.get_mut(&sock)
            && entry.story.opening.is_some_and(|opening| !opening.fits(socket))
        {
            entry.story.opening = None;
            self.lost.unseen_ends += 1;
        }
    }

    /// Records of this time were lost. Every connection that was alive then may lack some.
    fn mark_lost(&mut self, since_ns: u64, until_ns: u64) {
        self.lost_until_ns = self.lost_until_ns.max(until_ns);
        for entry in self.stories.values_mut() {
            entry.story.records_lost |= entry.last_sign_ns().is_none_or(|last_ns| last_ns >= since_ns);
        }
    }

    /// The last record of a socket. If its story has no end, the record of the end was lost.
    fn destroyed(&mut self, event: &Event, emit: &mut impl FnMut(Emitted<'_>)) {
        self.early_errors.take(event.sock);
        let Some(entry) = self.stories.get_mut(&event.sock) else {
            // A connection with an opening ends before its socket is destroyed.
            self.lost.unseen_ends += u64::from(self.openings.take(event.sock).is_some());
            return;
        };
        entry.story.note(event);
        if entry.story.end.is_some() {
            self.schedule(event);
        } else {
            self.finish(event.sock, emit);
        }
    }

    /// Adds an event to its story, which begins here if there is none.
    fn note(&mut self, event: &Event) {
        if !self.stories.contains_key(&event.sock) {
            if self.stories.len() >= self.limits.stories {
                // The opening stays: later events of the connection may find room.
                self.lost.stories += 1;
                return;
            }
            let opening = self.openings.take(event.sock);
            let mut story = Story::new(event.sock, event.ns, opening);
            story.write_errors = self.early_errors.take(event.sock);
            // A connection without an opening may be of any age.
            let began_ns = opening.map_or(0, |opening| opening.ns);
            story.records_lost = self.lost_until_ns > 0 && began_ns <= self.lost_until_ns;
            self.stories.insert(event.sock, Box::new(Entry::new(story)));
        }
        if let Some(entry) = self.stories.get_mut(&event.sock) {
            entry.story.note(event);
            self.schedule(event);
        }
    }

    /// Sets the deadline of a story that has just ended, or that no process holds any more since this event.
    fn schedule(&mut self, event: &Event) {
        let Some(entry) = self.stories.get(&event.sock) else { return };
        let story = &entry.story;
        // Once per call: the deadline follows from close(), and this event is that call.
        if let Some(deadline_ns) = story.linger_deadline_ns()
            && story.close_call.is_some_and(|call| call.ns == event.ns)
            && story.end.is_none()
        {
            let stories = &self.stories;
            let current = |sock: SockId, first_ns: u64| {
                stories.get(&sock).is_some_and(|entry| entry.story.first_ns == first_ns)
            };
            self.deadlines.linger(deadline_ns, event.sock, story.first_ns, stories.len(), current);
        }
        let Some(end) = story.end else { return };
        if story.gone_ns == Some(event.ns) {
            self.deadlines.settle(event.ns, event.sock, story.first_ns);
        } else if end.ns == event.ns {
            self.deadlines.wait(event.ns, event.sock, story.first_ns);
        }
    }

    /// Emits a story that is due, unless that has been done or the story gets more time.
    fn emit_due(&mut self, due: &Due, emit: &mut impl FnMut(Emitted<'_>)) {
        let Some(entry) = self.stories.get_mut(&due.sock) else { return };
        if entry.story.first_ns != due.first_ns {
            return;
        }
        if !entry.emitted
            && let Some(at_ns) = entry.extended_ns(due.at_ns)
        {
            entry.extended = true;
            self.deadlines.extend(due, at_ns);
            return;
        }
        if !entry.emitted {
            entry.emitted = true;
            emit(Emitted::Close(&entry.story));
        }
        // While a process holds the socket, the story explains its later failed writes.
        if entry.story.gone_ns.is_some() {
            self.stories.remove(&due.sock);
        }
    }

    /// The socket belongs to another connection now.
    fn finish(&mut self, sock: SockId, emit: &mut impl FnMut(Emitted<'_>)) {
        if let Some(entry) = self.stories.remove(&sock)
            && !entry.emitted
        {
            self.lost.unseen_ends += u64::from(entry.story.end.is_none());
            emit(Emitted::Close(&entry.story));
        }
    }
}

#[cfg(test)]
mod tests;
