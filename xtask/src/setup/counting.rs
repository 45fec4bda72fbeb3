//! What counts instructions: valgrind, and gungraun's runner. In: what is installed. Out: the runner's path.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian;
use crate::exec;

/// The runner and the library must have one version: the one in Cargo.lock.
const LIBRARY: &str = "name = \"gungraun\"\nversion = \"";

/// Installs what is missing; the runner into the target directory, since nothing else needs it.
pub(crate) fn provide() -> Result<PathBuf> {
    debian::install_missing(
        &[("/usr/bin/valgrind", "valgrind")],
        "which counts instructions",
        "less than a minute",
    )?;
    let lock = std::fs::read_to_string(exec::root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let version = lock.split_once(LIBRARY).and_then(|(_, rest)| rest.split('"').next());
    let version = version.context("Cargo.lock has no gungraun")?;
    let root = exec::target_dir().join(format!("gungraun-{version}"));
    let runner = root.join("bin/gungraun-runner");
    if !runner.exists() {
        eprintln!("setup: building gungraun-runner {version}, which counts instructions: one to two minutes");
        let mut command = Command::new("cargo");
        command.args(["install", "gungraun-runner", "--version", version, "--locked", "--quiet", "--root"]);
        command.arg(&root).current_dir("/").env_remove("CARGO_TARGET_DIR");
        exec::run(&mut command)?;
    }
    Ok(runner)
}
