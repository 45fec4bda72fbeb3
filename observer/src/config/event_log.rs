//! The section `event_log`: where reports are written, and which.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::unit;

/// `event_log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventLogSettings {
    /// File of JSON lines; None writes no file.
    pub path: Option<PathBuf>,
    /// Size at which the file is rotated, bytes; 4 KiB to 4 GiB.
    #[serde(with = "unit::bytes")]
    pub max_size: u32,
    /// Age at which the file is rotated; 1 minute to 10 years.
    #[serde(with = "unit::duration")]
    pub max_age: Duration,
    /// Number of rotated files to keep; 0 to 1000.
    pub keep: usize,
    /// Also write to systemd's journal.
    pub journal: bool,
    /// Kinds of reports to write.
    pub record: RecordedKinds,
}

impl Default for EventLogSettings {
    fn default() -> Self {
        Self {
            path: None,
            max_size: 64 << 20,
            max_age: Duration::from_hours(24),
            keep: 7,
            journal: false,
            record: RecordedKinds::default(),
        }
    }
}

impl EventLogSettings {
    /// Whether there is nowhere to write to.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.path.is_none() && !self.journal
    }
}

/// `event_log.record`: closes by outcome, then the other kinds of reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, clippy::struct_excessive_bools, reason = "one switch per word of the JSON lines")]
pub struct RecordedKinds {
    pub graceful: bool,
    pub reset_sent: bool,
    pub reset_received: bool,
    pub timed_out: bool,
    pub refused: bool,
    pub aborted: bool,
    pub unknown: bool,
    pub write_errors: bool,
    pub linger_expired: bool,
    pub stray_resets: bool,
}

impl RecordedKinds {
    /// Whether at least one kind is written.
    #[must_use]
    pub fn is_any(&self) -> bool {
        let none = Self {
            graceful: false,
            reset_sent: false,
            reset_received: false,
            timed_out: false,
            refused: false,
            aborted: false,
            unknown: false,
            write_errors: false,
            linger_expired: false,
            stray_resets: false,
        };
        *self != none
    }
}

impl Default for RecordedKinds {
    fn default() -> Self {
        Self {
            graceful: false,
            reset_sent: true,
            reset_received: true,
            timed_out: true,
            refused: true,
            aborted: true,
            unknown: true,
            write_errors: true,
            linger_expired: true,
            // A port scan would fill the disk.
            stray_resets: false,
        }
    }
}
