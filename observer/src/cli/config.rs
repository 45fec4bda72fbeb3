//! `observer config`: checks a configuration file, or prints the default one.

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
/// --check reads the file as the daemon would. It also reads the web configuration and the certificates that the file
/// names, and looks up its group on this host. Mistakes are printed one per line, each with its place in the file.
///
/// Exit status: 0 no mistakes, 1 mistakes, 2 error (the file cannot be read)
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer config --check /etc/observer/observer.yaml
  observer config --print-default > observer.yaml    a file to start from")]
#[group(required = true, multiple = false)]
pub(crate) struct ConfigArgs {
    /// Report all mistakes in FILE
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print a file with all settings, their defaults and their meaning
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
            let mistakes = mistakes_on_this_host(&config);
            for (setting, error) in &mistakes {
                writeln!(out, "{}: {setting}: {error:#}", path.display()).context("writing to stdout")?;
            }
            Ok(ExitCode::from(u8::from(!mistakes.is_empty())))
        }
        Err(ConfigError::Wrong(mistakes)) => {
            mistakes.lines().try_for_each(|line| writeln!(out, "{line}")).context("writing to stdout")?;
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

/// Settings that are valid by themselves but name a bad file or an unknown group.
fn mistakes_on_this_host(config: &Config) -> Vec<(&'static str, anyhow::Error)> {
    let web = config.web.config_file.as_deref().and_then(|file| Web::load(file).err());
    let group = config.query.group.as_deref().and_then(|group| socket::group_id(group).err());
    let web = web.map(|error| ("web.config_file", error.into()));
    web.into_iter().chain(group.map(|error| ("query.group", error.into()))).collect()
}
