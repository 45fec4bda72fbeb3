//! The daemon's process.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::systemd;
use crate::wait;

pub(crate) fn pid() -> Result<u32> {
    let pid = systemd::number("MainPID")?;
    ensure!(pid != 0, "the service has no process");
    Ok(pid)
}

pub(crate) fn signal(pid: u32, signal: &str) -> Result<()> {
    systemd::output("kill", &[signal, &pid.to_string()]).map(drop)
}

/// A field of the process's status.
pub(crate) fn field(pid: u32, name: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read the status")?;
    value(&status, name)
}

/// A field of the status that must be the same in all threads.
pub(crate) fn field_of_all_threads(pid: u32, name: &str) -> Result<String> {
    let expected = field(pid, name)?;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("cannot list the threads")?;
    for thread in threads {
        let status = fs::read_to_string(thread?.path().join("status")).context("cannot read the status")?;
        let other = value(&status, name)?;
        ensure!(
            other == expected,
            "{name} is {other} in thread {} and {expected} elsewhere",
            value(&status, "Name")?
        );
    }
    Ok(expected)
}

fn value(status: &str, name: &str) -> Result<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("the status has no {name}"))?.trim().to_owned())
}

/// Waits until the service is active with another process than `old`. Gives the new one.
pub(crate) fn replaced(old: u32) -> Result<u32> {
    wait::until("active again with a new process", || {
        let [pid, state] = systemd::properties(["MainPID", "ActiveState"])?;
        let pid = pid.parse()?;
        Ok((pid != 0 && pid != old && state == "active").then_some(pid))
    })
}
