//! The limits of the history, and how much of them is in use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLimits {
    /// Number of closes.
    pub closes: usize,
    /// Number of failing writes.
    pub errors: usize,
    /// Memory for both, bytes.
    pub bytes: usize,
    /// Age of the oldest.
    pub age: Duration,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { closes: 100_000, errors: 25_000, bytes: 64 << 20, age: Duration::from_hours(24) }
    }
}

/// Numbers of dropped reports, by the limit that dropped them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedOut {
    /// Dropped by the limit on their number.
    pub count: u64,
    /// Dropped by the limit on their age.
    pub age: u64,
    /// Dropped by the limit on memory.
    pub bytes: u64,
}

impl PushedOut {
    /// The sum over all limits.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.count + self.age + self.bytes
    }
}

/// How much of a history is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryUsage {
    /// Number of closes.
    pub closes: usize,
    /// Number of failing writes.
    pub errors: usize,
    /// Memory of both, bytes.
    pub bytes: usize,
    /// Time of the oldest; `CLOCK_MONOTONIC`, ns.
    pub oldest_ns: Option<u64>,
    /// Reports that were dropped.
    pub pushed_out: PushedOut,
    /// The limits.
    pub limits: HistoryLimits,
}
