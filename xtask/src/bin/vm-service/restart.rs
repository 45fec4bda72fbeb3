//! The daemon ends in several ways, and what systemd makes of it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::{daemon, journal, kernel, systemd, verdict, wait};

/// Shorter than the unit's, for this check's sake. Fed every second half of it.
pub(crate) const WATCHDOG: &str = "[Service]\nWatchdogSec=4s\n";

pub(crate) fn killed() -> Result<String> {
    let (old, before) = (daemon::pid()?, verdict::counted()?);
    ensure!(before >= 1.0, "there is nothing that could be counted anew");
    daemon::signal(old, "-KILL")?;
    wait::until("the end is noticed", || {
        Ok((systemd::property("SubState")? == "auto-restart").then_some(()))
    })?;
    kernel::is_clean().context("between end and restart")?;
    ensure!(systemd::property("SubState")? == "auto-restart", "it was restarted before anybody could look");
    let new = daemon::replaced(old)?;
    let restarts: u32 = systemd::number("NRestarts")?;
    ensure!(restarts == 1, "there were {restarts} restarts");
    let after = verdict::counted()?;
    ensure!(after == 0.0, "the counter went on with {after}");
    verdict::told().context("after the restart")?;
    Ok(format!(
        "process {old} became {new}, NRestarts={restarts}; in between no BPF program in the kernel and nothing in \
         /sys/fs/bpf; a counter went from {before} to {after}, and counts again"
    ))
}

pub(crate) fn stopped() -> Result<String> {
    let start = Instant::now();
    systemd::systemctl("stop")?;
    let took = start.elapsed();
    let [state, result, code, status, limit] =
        systemd::properties(["ActiveState", "Result", "ExecMainCode", "ExecMainStatus", "TimeoutStopUSec"])?;
    // 1 is CLD_EXITED: it was not killed when the time was over.
    ensure!(
        [&state, &result, &code, &status] == ["inactive", "success", "1", "0"],
        "{state}, result {result}, code {code}, status {status}"
    );
    kernel::is_clean()?;
    ensure!(!Path::new("/run/observer").exists(), "/run/observer stays");
    Ok(format!(
        "in {took:.1?} (allowed {limit}), exit status {status}; nothing stays in the kernel or in /run"
    ))
}

/// Needs [`WATCHDOG`].
pub(crate) fn hung() -> Result<String> {
    let old = daemon::pid()?;
    let restarts: u32 = systemd::number("NRestarts")?;
    let start = Instant::now();
    daemon::signal(old, "-STOP")?;
    let new = daemon::replaced(old)?;
    let took = start.elapsed();
    let now: u32 = systemd::number("NRestarts")?;
    ensure!(now == restarts + 1, "there were {now} restarts instead of {}", restarts + 1);
    let log = systemd::output("journalctl", &["-q", "-o", "cat", "-u", systemd::UNIT])?;
    let told = log
        .lines()
        .rfind(|line| line.contains("Watchdog timeout"))
        .context("systemd tells of no watchdog")?;
    verdict::told().context("after the restart")?;
    Ok(format!("{told}: process {old} became {new} in {took:.1?}"))
}

/// Nothing but what was provoked.
pub(crate) fn counted() -> Result<String> {
    let restarts: u32 = systemd::number("NRestarts")?;
    ensure!(restarts == 1, "{restarts} restarts since the last start by hand, and the watchdog made one");
    let failed = systemd::output("systemctl", &["--failed", "--plain", "--no-legend"])?;
    ensure!(!failed.contains("observer"), "{failed}");
    let starts = journal::count("ready: ")?;
    ensure!(starts == 4, "it was ready {starts} times");
    Ok(format!("{starts} starts: two by hand, one after kill -9, one after the watchdog"))
}
