//! Installed by the commands of docs/operations.md, and how long the start takes.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wait::SLOWER;
use crate::{daemon, files, inside, kernel, service, systemd};

/// The promise for a real machine.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn install() -> Result<String> {
    inside::load_modules()?;
    kernel::is_clean()?;
    // What is measured is the service, and not what else a boot has to do. `degraded` has ended too.
    systemd::attempt("systemctl", &["is-system-running", "--wait"])?;
    files::begin()?;
    std::env::set_current_dir(service::CHECKOUT)?;
    systemd::output("sh", &[service::INSTALL])?;
    let enabled = systemd::property("UnitFileState")?;
    ensure!(enabled == "enabled", "the unit is {enabled}");
    Ok(format!(
        "by the commands of docs/operations.md, under {}",
        systemd::output("systemctl", &["--version"])?.lines().next().unwrap_or_default()
    ))
}

pub(crate) fn active() -> Result<String> {
    let [state, kind, status, start, end] = systemd::properties([
        "ActiveState",
        "Type",
        "StatusText",
        "InactiveExitTimestampMonotonic",
        "ActiveEnterTimestampMonotonic",
    ])?;
    ensure!(state == "active", "the service is {state}");
    ensure!(kind == "notify", "the type is {kind}");
    let took = Duration::from_micros(end.parse::<u64>()?.saturating_sub(start.parse()?));
    let limit = LIMIT * SLOWER;
    ensure!(took <= limit, "it took {took:.1?} to start, and {limit:?} are allowed");
    ensure!(status.contains("hooks attached"), "the status is {status:?}");
    let (pid, programs) = (daemon::pid()?, kernel::programs()?);
    ensure!(programs > 0, "there are no programs in the kernel");
    Ok(format!(
        "{took:.1?} after its start (allowed {limit:?}), Type={kind}, process {pid}, {programs} BPF programs: {status}"
    ))
}

pub(crate) fn unit() -> Result<String> {
    let output = systemd::attempt("systemd-analyze", &["verify", "/etc/systemd/system/observer.service"])?;
    let complaints = systemd::stderr(&output);
    ensure!(output.status.success() && complaints.is_empty(), "systemd-analyze verify: {complaints}");
    Ok("systemd-analyze verify finds nothing".to_owned())
}
