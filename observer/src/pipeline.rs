//! event → story → verdict, joined: events in, [`Report`]s out. Used by every command, live or replayed.

use crate::{
    event::Event,
    owner::Owners,
    report::Report,
    story::table::{Limits, Overflow, StoryTable, Told},
};

/// The understanding half of the observer.
pub struct Pipeline {
    table: StoryTable,
    /// Live only: finds what the kernel side could not see. A recording has nobody to ask.
    owners: Option<Owners>,
}

impl Pipeline {
    /// With `owners` for a live host, without for a recording.
    #[must_use]
    pub fn new(limits: Limits, owners: Option<Owners>) -> Self {
        Self { table: StoryTable::new(limits), owners }
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event, out: &mut impl FnMut(&Report)) {
        let owners = &mut self.owners;
        self.table.apply(event, &mut |told| publish(&told, owners.as_mut(), out));
    }

    /// Reports what is ready at `now_ns` (`CLOCK_MONOTONIC`).
    pub fn expire(&mut self, now_ns: u64, out: &mut impl FnMut(&Report)) {
        let owners = &mut self.owners;
        self.table.expire(now_ns, &mut |told| publish(&told, owners.as_mut(), out));
    }

    /// Reports every connection that has ended: nothing more will come.
    pub fn finish(&mut self, out: &mut impl FnMut(&Report)) {
        let owners = &mut self.owners;
        self.table.finish_all(&mut |told| publish(&told, owners.as_mut(), out));
    }

    /// Connections whose end has begun.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.table.len()
    }

    /// What the table could not keep.
    #[must_use]
    pub const fn overflow(&self) -> Overflow {
        self.table.overflow()
    }
}

fn publish(told: &Told<'_>, owners: Option<&mut Owners>, out: &mut impl FnMut(&Report)) {
    let Some(mut report) = Report::of(told) else { return };
    if let (Report::Close(verdict), Some(owners)) = (&mut report, owners) {
        owners.complete(verdict);
    }
    out(&report);
}
