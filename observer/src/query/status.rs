//! The daemon's state for `observer status`: hooks, losses, cost, history and health.

use serde::{Deserialize, Serialize};

use crate::{audit::Summary, history::HistoryUsage, render::sentence::counted};

/// The state of the draining thread, which sends it about once per second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Time of this state; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Start of the daemon; `CLOCK_MONOTONIC`, ns.
    pub started_ns: u64,
    /// `uname -r`.
    pub kernel: String,
    /// All hooks, attached or not.
    pub hooks: Vec<HookLine>,
    /// Mechanisms that are not available at all, each with the reason.
    #[serde(default)]
    pub closed: Vec<String>,
    /// Kinds of events that no attached hook sees.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// Why half-closed connections are not counted; None while they are.
    #[serde(default)]
    pub half_closed_blind: Option<String>,
    /// Network namespaces and processes that the list of half-closed connections lacks.
    #[serde(default)]
    pub half_closed_unseen: Option<String>,
    /// Losses since the start, by reason; zeros included.
    pub lost: Vec<(String, u64)>,
    /// BPF programs: name, run time in ns, runs. All are 0 unless `kernel.bpf_stats_enabled` is 1.
    pub programs: Vec<(String, u64, u64)>,
    /// Sends that failed since the send buffer was full (EAGAIN); None unless they are counted.
    #[serde(default)]
    pub send_buffer_full: Option<u64>,
    /// Reports compared with the kernel's own counters; None from daemons before this field.
    #[serde(default)]
    pub audit: Option<Summary>,
    /// Connections that are closing now: their end has begun, and their verdict is not given yet.
    pub tracked: usize,
    /// Reports that are not in the history since its thread was too slow.
    pub not_taken: u64,
}

/// A hook, as `observer status` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookLine {
    /// Its name.
    pub hook: String,
    /// Its mechanism; `none` if it is not attached.
    pub mechanism: String,
    /// Why it has this mechanism, or none.
    pub reason: String,
    /// `attached`, `not_needed`, `left_out`, `refused` or `absent`.
    #[serde(default)]
    pub fate: String,
}

/// The answer to a status request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusLine {
    /// Version of the schema.
    pub schema: u32,
    /// `status`.
    pub kind: String,
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// `ok` or `degraded`.
    pub health: String,
    /// Why it is degraded; empty if it is not.
    pub problems: Vec<String>,
    /// Time since its start, ms.
    pub running_ms: u64,
    /// The last state of the draining thread.
    pub pulse: DaemonStatus,
    /// Age of that state, ms.
    pub pulse_age_ms: u64,
    /// Time since the last loss, ms; None if nothing was lost.
    #[serde(default)]
    pub last_loss_ms: Option<u64>,
    /// CPU time of the whole daemon, ms; None if /proc cannot be read.
    pub cpu_ms: Option<u64>,
    /// Resident memory of the daemon, bytes; None if /proc cannot be read.
    pub resident_bytes: Option<u64>,
    /// Size and limits of the history.
    pub history: HistoryUsage,
    /// Age of the oldest report in the history, ms; None while it is empty.
    pub history_oldest_ms: Option<u64>,
}

/// The draining thread sends its state every second. An older state than this is a problem; ms.
const SILENCE_MS: u64 = 5_000;

/// A loss is a problem for this long, ms.
const RECENT_MS: u64 = 10 * 60 * 1000;

/// When something was last lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    total: u64,
    last_ns: Option<u64>,
}

impl Losses {
    /// Compares the losses of a new state with those of the previous one.
    pub(super) fn update(&mut self, status: &DaemonStatus) {
        let total = status.lost.iter().map(|(_, count)| count).sum::<u64>() + status.not_taken;
        if total > self.total {
            self.total = total;
            self.last_ns = Some(status.ns);
        }
    }

    /// Time from the last loss to `now_ns` (`CLOCK_MONOTONIC`), ms; None if nothing was lost.
    pub(super) fn last_ms(&self, now_ns: u64) -> Option<u64> {
        Some(now_ns.saturating_sub(self.last_ns?) / 1_000_000)
    }
}

impl DaemonStatus {
    /// Everything that makes verdicts inexact or missing now. `age_ms` is the age of this state, `last_loss_ms` the time since
    /// the last loss.
    #[must_use]
    pub fn problems(&self, age_ms: u64, last_loss_ms: Option<u64>) -> Vec<String> {
        let mut problems = Vec::new();
        if age_ms > SILENCE_MS {
            problems.push(format!(
                "no records were read from the kernel for {} s: the daemon hangs, or gets too little CPU time",
                age_ms / 1000
            ));
        }
        problems.extend_from_slice(&self.unseen);
        problems.extend(self.half_closed_blind.clone());
        if last_loss_ms.is_none_or(|ms| ms > RECENT_MS) {
            return problems;
        }
        for (reason, count) in self.lost.iter().filter(|(_, count)| *count > 0) {
            problems.push(loss(reason, *count));
        }
        if self.not_taken > 0 {
            problems.push(format!(
                "{} missing in the history, whose thread was too slow",
                counted(self.not_taken, "report is", "reports are")
            ));
        }
        problems
    }
}

/// One kind of loss since the start, with its reason as in `observer_records_lost_total` and its effect.
fn loss(reason: &str, count: u64) -> String {
    let full = |setting: &str| {
        let connections = counted(count, "connection", "connections");
        format!("{connections} did not fit into a table ({reason}); raise {setting}")
    };
    match reason {
        "end_not_seen" => {
            let connections = counted(count, "connection", "connections");
            let verdicts = if count == 1 { "its verdict is" } else { "their verdicts are" };
            format!("{connections} ended unseen ({reason}); {verdicts} missing")
        }
        "story_table_full" => full("kernel.stories"),
        "opening_table_full" => full("kernel.openings"),
        "ring_full" => {
            let records = counted(count, "record", "records");
            format!("{records} did not fit into the ring buffer ({reason}); raise kernel.ring_size")
        }
        _ => format!("{} lost ({reason})", counted(count, "record was", "records were")),
    }
}

/// CPU time (ms) and resident memory (bytes) of this process. None if /proc cannot be read.
pub(super) fn own_cost() -> Option<(u64, u64)> {
    let stat = procfs::process::Process::myself().and_then(|me| me.stat()).ok()?;
    let ticks = stat.utime + stat.stime;
    Some((ticks * 1000 / procfs::ticks_per_second().max(1), stat.rss * procfs::page_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_a_problem_for_ten_minutes() {
        let status = |ns, lost| DaemonStatus {
            ns,
            lost: vec![("ring_full".to_owned(), lost)],
            ..DaemonStatus::default()
        };
        let minute_ns = 60_000_000_000;
        let mut losses = Losses::default();
        losses.update(&status(minute_ns, 0));
        assert_eq!(losses.last_ms(minute_ns), None);
        losses.update(&status(2 * minute_ns, 3));
        losses.update(&status(3 * minute_ns, 3));
        let now = status(4 * minute_ns, 3);
        losses.update(&now);
        assert_eq!(losses.last_ms(now.ns), Some(2 * 60_000));
        let problem = "3 records did not fit into the ring buffer (ring_full); raise kernel.ring_size";
        assert_eq!(now.problems(0, losses.last_ms(now.ns)), [problem]);
        assert_eq!(now.problems(0, losses.last_ms(now.ns + 11 * minute_ns)), [""; 0]);
    }

    #[test]
    fn a_loss_has_its_effect_or_its_remedy() {
        let cases = [
            (loss("end_not_seen", 1), "1 connection ended unseen (end_not_seen); its verdict is missing"),
            (
                loss("end_not_seen", 2),
                "2 connections ended unseen (end_not_seen); their verdicts are missing",
            ),
            (
                loss("story_table_full", 5),
                "5 connections did not fit into a table (story_table_full); raise kernel.stories",
            ),
            (loss("read_fault", 1), "1 record was lost (read_fault)"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_hook_that_is_not_attached_is_no_problem_by_itself() {
        let hook = |fate: &str| HookLine {
            hook: "h".to_owned(),
            mechanism: "none".to_owned(),
            reason: "r".to_owned(),
            fate: fate.to_owned(),
        };
        let hooks = ["not_needed", "left_out", "refused", "absent"].map(hook).to_vec();
        let status = DaemonStatus { hooks, ..DaemonStatus::default() };
        assert_eq!(status.problems(0, None), [""; 0]);
        let status = DaemonStatus { unseen: vec!["failing writes cannot be seen".to_owned()], ..status };
        assert_eq!(status.problems(0, None), ["failing writes cannot be seen"]);
        assert_eq!(status.problems(6_000, None).len(), 2);
        // As installed, the service may not enter the namespaces of containers. That is shown and is no problem.
        let status =
            DaemonStatus { half_closed_unseen: Some("a namespace".to_owned()), ..DaemonStatus::default() };
        assert_eq!(status.problems(0, None), [""; 0]);
        let status = DaemonStatus { half_closed_blind: Some("no module".to_owned()), ..status };
        assert_eq!(status.problems(0, None), ["no module"]);
    }
}
