//! event → story → verdict, joined: events in, [`Report`]s out. Used by every command, live or replayed.

use crate::{
    event::{Body, Event},
    report::Report,
    story::{
        Story,
        table::{Emitted, Lost, StoryTable, TableLimits, Unowned},
    },
};

/// The understanding half of the observer.
pub struct Pipeline {
    table: StoryTable,
}

impl Pipeline {
    /// An empty one.
    #[must_use]
    pub fn new(limits: TableLimits) -> Self {
        Self { table: StoryTable::new(limits) }
    }

    /// What is above a new limit stays until its end.
    pub fn set_limits(&mut self, limits: TableLimits) {
        self.table.set_limits(limits);
    }

    /// Takes the mark of lost records, before anything more is reported: it is of the time up to now, and the records that
    /// wait are older.
    pub fn mark(&mut self, mark: &Event) {
        self.table.apply(mark, &mut |_| {});
    }

    /// Takes one event: reports what is ready by its time, then notes it.
    pub fn apply(&mut self, event: &Event, out: &mut impl FnMut(&Report)) {
        // An owner that was looked up comes before the records that wait, among which may be what settles a story.
        if !matches!(event.body, Body::Owner | Body::NoOwner { .. } | Body::RecordsLost { .. }) {
            self.expire(event.ns, out);
        }
        self.table.apply(event, &mut |told| publish(&told, out));
    }

    /// Reports what is ready at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64, out: &mut impl FnMut(&Report)) {
        self.table.expire(now_ns, &mut |told| publish(&told, out));
    }

    /// Reports every connection that has ended: nothing more will come.
    pub fn finish(&mut self, out: &mut impl FnMut(&Report)) {
        self.table.finish_all(&mut |told| publish(&told, out));
    }

    /// Connections that are about to be told, at `until_ns`, without anybody having been seen with them.
    pub fn unowned(&self, until_ns: u64) -> impl Iterator<Item = Unowned> {
        self.table.unowned(until_ns)
    }

    /// Connections that are half-closed now.
    pub fn half_closed(&self) -> impl Iterator<Item = &Story> {
        self.table.half_closed()
    }

    /// Connections whose end has begun.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.table.len()
    }

    /// What the table could not keep, or missed.
    #[must_use]
    pub const fn lost(&self) -> Lost {
        self.table.lost()
    }
}

fn publish(told: &Emitted<'_>, out: &mut impl FnMut(&Report)) {
    if let Some(report) = Report::of(told) {
        out(&report);
    }
}
