//! `observer run`: the daemon.
use std::process::ExitCode;

use clap::Args;

/// Run the daemon
#[derive(Debug, Args)]
pub(crate) struct RunArgs {}

pub(crate) fn run(_: &RunArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
