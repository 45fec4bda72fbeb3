//! `observer run`: the daemon, in the foreground.

use std::process::ExitCode;

use clap::Args;

use super::{
    args::{audit::AuditArgs, settings::SettingArgs},
    output::{Format, Output},
};
use crate::{console_log, daemon, owner::Cgroups, source::clock::ClockOffset};

/// Run the daemon in the foreground, with Prometheus metrics
///
/// Runs until SIGTERM or Ctrl-C. SIGHUP reads the configuration again. By default metrics are at
/// http://127.0.0.1:9817/metrics. The commands closes, errors, top, explain and status query this daemon. Messages go
/// to stderr; the environment variable OBSERVER_LOG (off, error, warn, info, debug) overrides the setting log.level.
///
/// Settings come from the file of --config, then from environment variables, then from flags; later ones override.
///
/// Exit status: 0 ended by a signal, 2 error
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Also print each report to stdout, as `observer trace` does
    #[arg(long)]
    verdicts: bool,
    #[command(flatten)]
    auditing: AuditArgs,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    console_log::init();
    let output = || Output::new(Format::Text, ClockOffset::now(), Cgroups::none());
    daemon::run(daemon::Options {
        config: args.settings.read()?,
        reread: args.settings.reread(),
        verdicts: args.verdicts.then(|| Box::new(output()) as _),
        audit_pace: args.auditing.pace(),
    })?;
    Ok(ExitCode::SUCCESS)
}
