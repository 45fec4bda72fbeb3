//! event → story → verdict: events in, [`Report`]s out. Every command uses it, live or from a recording.

use crate::{
    event::{Body, Event},
    report::Report,
    story::{
        Story,
        table::{Emitted, Lost, StoryTable, TableLimits, Unowned},
    },
};

/// Stories in progress, and the reports that they become.
pub struct Pipeline {
    table: StoryTable,
}

impl Pipeline {
    /// A pipeline without connections.
    #[must_use]
    pub fn new(limits: TableLimits) -> Self {
        Self { table: StoryTable::new(limits) }
    }

    /// Changes the limits. Entries above a new limit stay until their connection ends.
    pub fn set_limits(&mut self, limits: TableLimits) {
        self.table.set_limits(limits);
    }

    /// Takes the mark of lost records ([`Body::RecordsLost`]) without reporting anything. The mark covers the time up
    /// to now, and the records that still wait are older.
    pub fn mark(&mut self, mark: &Event) {
        self.table.apply(mark, &mut |_| {});
    }

    /// Takes one event: first reports what is due by its time, then adds it to its story.
    pub fn apply(&mut self, event: &Event, out: &mut impl FnMut(&Report)) {
        // The time of a scan's answer or of a mark is later than that of records that still wait, and those may
        // complete a story.
        if !matches!(event.body, Body::Owner | Body::NoOwner { .. } | Body::RecordsLost { .. }) {
            self.expire(event.ns, out);
        }
        self.table.apply(event, &mut |emitted| report(&emitted, out));
    }

    /// Reports what is due at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64, out: &mut impl FnMut(&Report)) {
        self.table.expire(now_ns, &mut |emitted| report(&emitted, out));
    }

    /// Reports every connection that has ended, because no more events will come.
    pub fn finish(&mut self, out: &mut impl FnMut(&Report)) {
        self.table.finish_all(&mut |emitted| report(&emitted, out));
    }

    /// Connections that are due by `until_ns` (`CLOCK_MONOTONIC`) and whose process no record has named.
    pub fn unowned(&self, until_ns: u64) -> impl Iterator<Item = Unowned> {
        self.table.unowned(until_ns)
    }

    /// Connections that are half-closed now.
    pub fn half_closed(&self) -> impl Iterator<Item = &Story> {
        self.table.half_closed()
    }

    /// Number of connections whose end has begun.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.table.len()
    }

    /// Counts of everything that the table could not keep, or missed.
    #[must_use]
    pub const fn lost(&self) -> Lost {
        self.table.lost()
    }
}

fn report(emitted: &Emitted<'_>, out: &mut impl FnMut(&Report)) {
    if let Some(report) = Report::of(emitted) {
        out(&report);
    }
}
