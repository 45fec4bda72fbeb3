//! The checks that other programs make: spelling, the form of TOML files, licences and sources of dependencies.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use crate::{exec, setup::checkers};

/// Exceptions and the project's own words are in `typos.toml`.
pub(super) fn spelling() -> Result<()> {
    exec::run(&mut checker("typos", ["--format", "brief"])?)
}

/// The form that `taplo.toml` describes, and legal TOML.
pub(super) fn toml() -> Result<()> {
    for arguments in [["fmt", "--check", "--diff"].as_slice(), &["lint"]] {
        exec::run(checker("taplo", arguments)?.env("RUST_LOG", "warn"))?;
    }
    Ok(())
}

/// What `deny.toml` allows. Known flaws are looked up only if their database can be fetched, which needs a host other
/// than the crate registry's.
pub(super) fn dependencies() -> Result<()> {
    deny(&["bans", "licenses", "sources"])?;
    // A silent network must not hold the lint up.
    let mut fetch = exec::in_root("timeout", ["60"]);
    fetch.arg(checker("cargo-deny", [""; 0])?.get_program()).args(["fetch", "db"]);
    if let Err(error) = exec::capture(&mut fetch) {
        eprintln!("lint: known flaws of dependencies: skipped: {error:#}");
        return Ok(());
    }
    deny(&["advisories"])
}

fn deny(checks: &[&str]) -> Result<()> {
    exec::run(checker("cargo-deny", ["--locked", "check"])?.args(checks))
}

/// One of the programs, to run in the repository's root.
fn checker<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<Command> {
    let path = checkers::provide()?.map_or_else(|| program.into(), |directory| directory.join(program));
    let mut command = Command::new(path);
    command.args(arguments).current_dir(exec::root());
    Ok(command)
}
