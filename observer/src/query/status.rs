//! How the daemon is: its hooks, what it lost, what it costs, how full its history is.

use serde::{Deserialize, Serialize};

use crate::{audit::Summary, history::HistoryUsage};

/// What the thread that drains the kernel knows of itself; sent about once a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// When the daemon began.
    pub started_ns: u64,
    /// `uname -r`.
    pub kernel: String,
    /// Every hook.
    pub hooks: Vec<HookLine>,
    /// Mechanisms by which no function can be entered, each with the reason.
    #[serde(default)]
    pub closed: Vec<String>,
    /// What no verdict tells, since nothing that would see it is to be had.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// Why nobody can tell what is half-closed now.
    #[serde(default)]
    pub half_closed_blind: Option<String>,
    /// What of it cannot be seen.
    #[serde(default)]
    pub half_closed_unseen: Option<String>,
    /// What was lost, by reason; reasons that lost nothing included.
    pub lost: Vec<(String, u64)>,
    /// BPF programs: name, run time in ns, runs; zeros while the kernel does not count.
    pub programs: Vec<(String, u64, u64)>,
    /// Sends that found the buffer full; None where they are not counted.
    #[serde(default)]
    pub send_buffer_full: Option<u64>,
    /// What was reported, compared with the kernel's own counters; None from a daemon that does not compare.
    #[serde(default)]
    pub audit: Option<Summary>,
    /// Connections whose end has begun.
    pub tracked: usize,
    /// Reports that history could not take, since its thread was behind.
    pub not_taken: u64,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookLine {
    /// Its name.
    pub hook: String,
    /// How it is entered; `none` when it is not there.
    pub mechanism: String,
    /// Why so, or why not.
    pub reason: String,
    /// `attached`, `not_needed`, `left_out`, `refused` or `absent`.
    #[serde(default)]
    pub fate: String,
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
    pub pulse: DaemonStatus,
    /// How long ago, ms.
    pub pulse_age_ms: u64,
    /// How long ago something was last lost, ms; None when nothing was.
    #[serde(default)]
    pub last_loss_ms: Option<u64>,
    /// CPU time of the whole daemon, ms; None when /proc does not tell.
    pub cpu_ms: Option<u64>,
    /// Its memory, bytes.
    pub resident_bytes: Option<u64>,
    /// The history.
    pub history: HistoryUsage,
    /// Age of the oldest there, ms.
    pub history_oldest_ms: Option<u64>,
}

/// The draining thread speaks every second; silence for so long is a problem, ms.
const SILENCE_MS: u64 = 5_000;

/// Verdicts of so long ago may be poorer for what was lost, ms: what was lost earlier is history.
const RECENT_MS: u64 = 10 * 60 * 1000;

/// When something was lost, from one pulse to the next.
#[derive(Debug, Default)]
pub(super) struct Losses {
    total: u64,
    last_ns: Option<u64>,
}

impl Losses {
    /// Takes note of how much it is by now.
    pub(super) fn note(&mut self, pulse: &DaemonStatus) {
        let total = pulse.lost.iter().map(|(_, count)| count).sum::<u64>() + pulse.not_taken;
        if total > self.total {
            self.total = total;
            self.last_ns = Some(pulse.ns);
        }
    }

    /// How long before `now_ns` (`CLOCK_MONOTONIC`) that was, ms; None when nothing was lost.
    pub(super) fn last_ms(&self, now_ns: u64) -> Option<u64> {
        Some(now_ns.saturating_sub(self.last_ns?) / 1_000_000)
    }
}

impl DaemonStatus {
    /// What makes verdicts poorer or missing now, given the age of this and how long ago something was last lost.
    #[must_use]
    pub fn problems(&self, age_ms: u64, last_loss_ms: Option<u64>) -> Vec<String> {
        let mut problems = Vec::new();
        if age_ms > SILENCE_MS {
            problems.push(format!(
                "records have not been taken from the kernel for {} s: the daemon hangs, or is starved of CPU",
                age_ms / 1000
            ));
        }
        problems.extend_from_slice(&self.unseen);
        problems.extend(self.half_closed_blind.clone());
        if last_loss_ms.is_none_or(|ms| ms > RECENT_MS) {
            return problems;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_a_problem_for_a_while() {
        let pulse = |ns, lost| DaemonStatus {
            ns,
            lost: vec![("ring_full".to_owned(), lost)],
            ..DaemonStatus::default()
        };
        let minute_ns = 60_000_000_000;
        let mut losses = Losses::default();
        losses.note(&pulse(minute_ns, 0));
        assert_eq!(losses.last_ms(minute_ns), None);
        losses.note(&pulse(2 * minute_ns, 3));
        losses.note(&pulse(3 * minute_ns, 3));
        let now = pulse(4 * minute_ns, 3);
        losses.note(&now);
        assert_eq!(losses.last_ms(now.ns), Some(2 * 60_000));
        assert_eq!(now.problems(0, losses.last_ms(now.ns)), ["3 lost since the start: ring_full"]);
        assert_eq!(now.problems(0, losses.last_ms(now.ns + 11 * minute_ns)), [""; 0]);
    }

    #[test]
    fn a_hook_that_is_not_there_is_no_problem_by_itself() {
        let hook = |fate: &str| HookLine {
            hook: "h".to_owned(),
            mechanism: "none".to_owned(),
            reason: "r".to_owned(),
            fate: fate.to_owned(),
        };
        let hooks = ["not_needed", "left_out", "refused", "absent"].map(hook).to_vec();
        let pulse = DaemonStatus { hooks, ..DaemonStatus::default() };
        assert_eq!(pulse.problems(0, None), [""; 0]);
        let pulse = DaemonStatus { unseen: vec!["failing writes cannot be seen".to_owned()], ..pulse };
        assert_eq!(pulse.problems(0, None), ["failing writes cannot be seen"]);
        assert_eq!(pulse.problems(6_000, None).len(), 2);
        // A service sees no containers' sockets unless it may enter their namespaces: told, and as it was installed.
        let pulse =
            DaemonStatus { half_closed_unseen: Some("a namespace".to_owned()), ..DaemonStatus::default() };
        assert_eq!(pulse.problems(0, None), [""; 0]);
        let pulse = DaemonStatus { half_closed_blind: Some("no module".to_owned()), ..pulse };
        assert_eq!(pulse.problems(0, None), ["no module"]);
    }
}
