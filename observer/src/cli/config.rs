//! `observer config`: a configuration file checked, or the default one printed.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;

use crate::config::{Config, ConfigError, DEFAULTS};

/// Check a configuration file, or print the default one
///
/// Exit status: 0 the file is good, 1 it has mistakes, which are printed one a line; 2 it cannot be read.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ConfigArgs {
    /// Find every mistake in FILE
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print a file with every setting, its default and what it means
    #[arg(long)]
    print_default: bool,
}

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(path) = &args.check else {
        out.write_all(DEFAULTS.as_bytes()).context("writing to stdout")?;
        return Ok(ExitCode::SUCCESS);
    };
    match Config::load(path) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(ConfigError::Wrong(mistakes)) => {
            mistakes.lines().try_for_each(|line| writeln!(out, "{line}")).context("writing to stdout")?;
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}
