//! `observer config`: a configuration file checked, or the default one printed.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;

use crate::{
    config::{Config, ConfigError, DEFAULTS},
    http::Web,
    query::socket,
};

/// Check a configuration file, or print the default one
///
/// What the file names is looked at too: the web configuration with its certificates, and the group of this host.
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
        Ok(config) => {
            let wrong = elsewhere(&config);
            for (setting, error) in &wrong {
                writeln!(out, "{}: {setting}: {error:#}", path.display()).context("writing to stdout")?;
            }
            Ok(ExitCode::from(u8::from(!wrong.is_empty())))
        }
        Err(ConfigError::Wrong(mistakes)) => {
            mistakes.lines().try_for_each(|line| writeln!(out, "{line}")).context("writing to stdout")?;
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

/// Settings that are good and name what is not, on this host.
fn elsewhere(config: &Config) -> Vec<(&'static str, anyhow::Error)> {
    let web = config.web.config_file.as_deref().and_then(|file| Web::load(file).err());
    let group = config.query.group.as_deref().and_then(|group| socket::group_id(group).err());
    let web = web.map(|error| ("web.config_file", error.into()));
    web.into_iter().chain(group.map(|error| ("query.group", error.into()))).collect()
}
