//! `observer completions`: completion scripts for shells.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print a completion script for a shell
///
/// To install it for bash: observer completions bash > /usr/share/bash-completion/completions/observer
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Args::command(), "observer", &mut script);
    io::stdout().write_all(&script).context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
