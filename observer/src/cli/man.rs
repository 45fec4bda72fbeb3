//! `observer man`: manual pages, generated from the same text as `--help`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

/// Print a manual page
///
/// To read it: observer man run | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The page of this command, instead of the overview
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut all = super::Args::command();
    // This gives each command its full name.
    all.build();
    let page = match &args.command {
        None => all,
        Some(name) => {
            let found = all.get_subcommands().find(|command| command.get_name() == name);
            let found = found.with_context(|| {
                format!("there is no command {name:?}; `observer --help` lists all commands")
            })?;
            found.clone()
        }
    };
    let mut roff = Vec::new();
    Man::new(page).render(&mut roff).context("rendering the page")?;
    io::stdout().write_all(&roff).context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
