//! The tools that count instructions: valgrind, and gungraun's runner.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian;
use crate::exec;

/// Precedes the library's version in Cargo.lock. The runner must have the same version.
const LIBRARY: &str = "name = \"gungraun\"\nversion = \"";

/// Installs missing tools, and returns the runner's path. The runner goes into the target directory, since nothing else
/// needs it.
pub(crate) fn provide() -> Result<PathBuf> {
    debian::install_missing(
        &[("/usr/bin/valgrind", "valgrind")],
        "to count instructions",
        "less than a minute",
    )?;
    let lock = std::fs::read_to_string(exec::root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let version = lock.split_once(LIBRARY).and_then(|(_, rest)| rest.split('"').next());
    let version = version.context("Cargo.lock has no gungraun")?;
    let root = exec::target_dir().join(format!("gungraun-{version}"));
    let runner = root.join("bin/gungraun-runner");
    if !runner.exists() {
        eprintln!("setup: building gungraun-runner {version} to count instructions: one to two minutes");
        let mut command = Command::new("cargo");
        command.args(["install", "gungraun-runner", "--version", version, "--locked", "--quiet", "--root"]);
        command.arg(&root).current_dir("/").env_remove("CARGO_TARGET_DIR");
        exec::run(&mut command)?;
    }
    Ok(runner)
}
