//! How the daemon is: its hooks, what it lost, what it costs, how full its history is.

use serde::{Deserialize, Serialize};

use crate::history::Fill;

/// What the thread that drains the kernel knows of itself; sent about once a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// When the daemon began.
    pub started_ns: u64,
    /// `uname -r`.
    pub kernel: String,
    /// Every hook.
    pub hooks: Vec<Hook>,
    /// What was lost, by reason; reasons that lost nothing included.
    pub lost: Vec<(String, u64)>,
    /// BPF programs: name, run time in ns, runs; zeros while the kernel does not count.
    pub programs: Vec<(String, u64, u64)>,
    /// Connections whose end has begun.
    pub tracked: usize,
    /// Reports that history could not take, since its thread was behind.
    pub not_taken: u64,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name.
    pub hook: String,
    /// How it is entered; `none` when it is not there.
    pub mechanism: String,
    /// Why so, or why not.
    pub reason: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusLine {
    /// Version of the schema.
    pub schema: u32,
    /// `status`.
    pub kind: String,
    /// Of the observer.
    pub version: String,
    /// Of the daemon.
    pub pid: u32,
    /// `ok` or `degraded`.
    pub health: String,
    /// Why it is degraded.
    pub problems: Vec<String>,
    /// For how long it has been running, ms.
    pub running_ms: u64,
    /// What the draining thread said last.
    pub pulse: Pulse,
    /// How long ago, ms.
    pub pulse_age_ms: u64,
    /// CPU time of the whole daemon, ms; None when /proc does not tell.
    pub cpu_ms: Option<u64>,
    /// Its memory, bytes.
    pub resident_bytes: Option<u64>,
    /// The history.
    pub history: Fill,
    /// Age of the oldest there, ms.
    pub history_oldest_ms: Option<u64>,
}

/// The draining thread speaks every second; silence for so long is a problem, ms.
const SILENCE_MS: u64 = 5_000;

impl Pulse {
    /// What is not as it should be.
    #[must_use]
    pub fn problems(&self, age_ms: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if age_ms > SILENCE_MS {
            problems.push(format!(
                "records have not been taken from the kernel for {} s: the daemon hangs, or is starved of CPU",
                age_ms / 1000
            ));
        }
        for hook in self.hooks.iter().filter(|hook| hook.mechanism == "none") {
            problems.push(format!("the hook {} is missing: {}", hook.hook, hook.reason));
        }
        for (reason, count) in self.lost.iter().filter(|(_, count)| *count > 0) {
            problems.push(format!("{count} lost since the start: {reason}"));
        }
        if self.not_taken > 0 {
            problems.push(format!("{} reports are not in history, which could not keep up", self.not_taken));
        }
        problems
    }
}

/// CPU time (ms) and memory (bytes) of this process, as far as /proc tells.
pub(super) fn own_cost() -> Option<(u64, u64)> {
    let stat = procfs::process::Process::myself().and_then(|me| me.stat()).ok()?;
    let ticks = stat.utime + stat.stime;
    Some((ticks * 1000 / procfs::ticks_per_second().max(1), stat.rss * procfs::page_size()))
}
