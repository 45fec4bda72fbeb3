//! Debian's packages, the last resort. In: package names. Out: the packages installed, with root's rights for this
//! step alone.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::exec;

/// Installs the packages of those programs that are not there.
pub(crate) fn install_missing(programs: &[(&str, &str)], purpose: &str, duration: &str) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| !Path::new(program).exists());
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages, purpose, duration)
}

/// Installs packages and says beforehand what for and how long it may take.
pub(crate) fn install(packages: &[&str], purpose: &str, duration: &str) -> Result<()> {
    static UPDATED: OnceLock<()> = OnceLock::new();

    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("Debian's packages {list} are missing and this system has no apt-get");
    }
    eprintln!("setup: installing {list}, {purpose}: {duration}");
    if UPDATED.set(()).is_ok() {
        // An index of yesterday is better than none: the installation decides.
        if let Err(error) = apt_get(&["update"]) {
            eprintln!("setup: {error:#}");
        }
    }
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Has services not started with the system.
pub(crate) fn disable(services: &[&str]) -> Result<()> {
    let mut command = exec::as_root("env");
    command.args(["SYSTEMD_OFFLINE=1", "systemctl", "disable"]).args(services);
    exec::capture(&mut command)?;
    Ok(())
}

/// Its hundreds of lines are of interest only where it fails, and then one of them is in the error.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = exec::as_root("env");
    // A package of a server starts it, which nobody asked for: both ways of starting it are told that the system is not
    // up (systemctl(1), invoke-rc.d(8)).
    command.args(["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "RUNLEVEL=1"]);
    command.args(["apt-get", "-q"]).args(arguments);
    exec::capture(&mut command)?;
    Ok(())
}
