//! A story in the table, and what the table remembers about reporting it.

use super::{
    super::Story,
    deadlines::{GRACE_NS, SETTLE_NS},
};

pub(super) struct Entry {
    pub(super) story: Story,
    /// The close has been emitted.
    pub(super) emitted: bool,
    /// When a scan of /proc found no process for the socket; `CLOCK_MONOTONIC`, ns.
    pub(super) scanned_ns: Option<u64>,
    /// The story was due and has been given more time, which happens once.
    pub(super) extended: bool,
}

impl Entry {
    pub(super) const fn new(story: Story) -> Self {
        Self { story, emitted: false, scanned_ns: None, extended: false }
    }

    /// The latest time of a record of this connection. None while its end is still to come, or a process holds the
    /// socket.
    pub(super) fn last_sign_ns(&self) -> Option<u64> {
        let gone_ns = self.story.gone_ns.filter(|_| self.story.end.is_some())?;
        let late_ns = if self.story.awaits_reset() { SETTLE_NS + GRACE_NS } else { SETTLE_NS };
        Some(gone_ns.saturating_add(late_ns))
    }

    /// The new deadline, if waiting once more beyond `due_ns` is useful.
    pub(super) fn extended_ns(&self, due_ns: u64) -> Option<u64> {
        if self.extended {
            None
        } else if self.story.awaits_reset() {
            Some(due_ns + GRACE_NS)
        } else if self.story.awaits_holder() {
            // The process that had closed the socket by then has a record, which may still wait to be read.
            self.scanned_ns.map(|scanned_ns| scanned_ns + SETTLE_NS).filter(|at_ns| *at_ns > due_ns)
        } else {
            None
        }
    }
}
