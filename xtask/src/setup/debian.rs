//! Installing Debian's packages. Only this step runs as root.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::exec;

/// Installs the packages of missing programs. Each entry is a program's path and its package.
pub(crate) fn install_missing(programs: &[(&str, &str)], purpose: &str, duration: &str) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| !Path::new(program).exists());
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages, purpose, duration)
}

/// Installs packages. Announces their purpose and how long the installation may take.
pub(crate) fn install(packages: &[&str], purpose: &str, duration: &str) -> Result<()> {
    static UPDATED: OnceLock<()> = OnceLock::new();

    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("Debian's packages {list} are missing, and this system has no apt-get");
    }
    eprintln!("setup: installing {list}, {purpose}: {duration}");
    if UPDATED.set(()).is_ok() {
        // An old index may be good enough: the installation will show.
        if let Err(error) = apt_get(&["update"]) {
            eprintln!("setup: {error:#}");
        }
    }
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Keeps services from starting at boot.
pub(crate) fn disable(services: &[&str]) -> Result<()> {
    let mut command = exec::as_root("env");
    command.args(["SYSTEMD_OFFLINE=1", "systemctl", "disable"]).args(services);
    exec::capture(&mut command)?;
    Ok(())
}

/// Runs apt-get without showing its output. If it fails, the error contains the line that names the cause.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = exec::as_root("env");
    // A server's package would start the server. These variables say that the system is not running, so neither
    // systemctl(1) nor invoke-rc.d(8) starts it.
    command.args(["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "RUNLEVEL=1"]);
    command.args(["apt-get", "-q"]).args(arguments);
    exec::capture(&mut command)?;
    Ok(())
}
