//! The systemd unit. In: config/observer.service. Out: an error where systemd would complain about it, or where it is
//! less confined than it was.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::{exec, setup::debian};

/// The exposure that `systemd-analyze security` may find at most, in tenths: from 0 (sealed) to 100 (open).
const EXPOSURE: &str = "--threshold=25";

pub(super) fn run() -> Result<()> {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        debian::install(&["systemd"], "which checks the unit", "under a minute")?;
    }
    let unit = std::fs::read_to_string(exec::root().join("config/observer.service"));
    // systemd wants to find the program, which need not be installed here.
    let unit = unit.context("cannot read the unit")?.replace("/usr/local/bin/observer", "/bin/true");
    let directory = exec::target_dir().join("lint");
    let path = directory.join("observer.service");
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(&path, unit))
        .context("cannot write a copy")?;

    let mut verify = exec::in_root("systemd-analyze", ["verify", "--man=no"]);
    let output = verify.arg(&path).output().context("cannot run systemd-analyze")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    // Settings that it does not know are complained about and no failure.
    let about_it: Vec<_> = complaints.lines().filter(|line| line.contains("observer.service")).collect();
    ensure!(output.status.success() && about_it.is_empty(), "systemd complains:\n{complaints}");

    let mut security =
        exec::in_root("systemd-analyze", ["security", "--offline=true", "--no-pager", EXPOSURE]);
    let output = security.arg(&path).output().context("cannot run systemd-analyze")?;
    let found = String::from_utf8_lossy(&output.stdout);
    let sum = found.lines().last().unwrap_or_default();
    ensure!(output.status.success(), "{EXPOSURE} is exceeded: {sum}; `{}` tells why", exec::line(&security));
    Ok(())
}
