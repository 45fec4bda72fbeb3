//! Installed by the README's commands, and how long the start takes.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wait::SLOWER;
use crate::{daemon, files, inside, kernel, service, systemd};

/// The promise for a real machine.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn install() -> Result<String> {
    inside::load_modules()?;
    kernel::is_clean()?;
    files::begin()?;
    std::env::set_current_dir(service::CHECKOUT)?;
    systemd::output("sh", &[service::INSTALL])?;
    let enabled = systemd::property("UnitFileState")?;
    ensure!(enabled == "enabled", "the unit is {enabled}");
    Ok(format!(
        "by the README's commands, under {}",
        systemd::output("systemctl", &["--version"])?.lines().next().unwrap_or_default()
    ))
}

pub(crate) fn active() -> Result<String> {
    let state = systemd::property("ActiveState")?;
    ensure!(state == "active", "the service is {state}");
    let kind = systemd::property("Type")?;
    ensure!(kind == "notify", "the type is {kind}");
    let end: u64 = systemd::number("ActiveEnterTimestampMonotonic")?;
    let start: u64 = systemd::number("InactiveExitTimestampMonotonic")?;
    let took = Duration::from_micros(end.saturating_sub(start));
    let limit = LIMIT * SLOWER;
    ensure!(took <= limit, "it took {took:.1?} to start, and {limit:?} are allowed");
    let status = systemd::property("StatusText")?;
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
