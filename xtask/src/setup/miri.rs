//! Miri, a component of rustup's nightlies. Distributions do not package it.

use std::process::Command;

use anyhow::Result;

use super::compiler;
use crate::exec;

pub(crate) const TOOLCHAIN: &str = compiler::NIGHTLY;

/// Installs what is missing. An error says why there is no Miri on this machine.
pub(crate) fn provide() -> Result<()> {
    if exec::capture(Command::new("rustup").args(["run", TOOLCHAIN, "cargo", "miri", "--version"])).is_ok() {
        return Ok(());
    }
    eprintln!("setup: fetching Miri for {TOOLCHAIN} by rustup: a minute on a fast line");
    let mut rustup = compiler::rustup();
    rustup.args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal", "--no-self-update"]);
    exec::capture(rustup.args(["--component", "miri,rust-src"]))?;
    Ok(())
}
