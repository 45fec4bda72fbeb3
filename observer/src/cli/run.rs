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
/// Stays until SIGTERM or Ctrl-C. SIGHUP has it read its configuration again. Metrics are at http://127.0.0.1:9817/metrics
/// unless told otherwise; `observer closes`, `errors`, `top`, `explain` and `status` ask it. Messages go to stderr;
/// OBSERVER_LOG (off, error, warn, info, debug) beats log.level.
///
/// Exit status: 0 it was told to end, 2 an error.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Also write each verdict to stdout
    #[arg(long)]
    verdicts: bool,
    #[command(flatten)]
    auditing: AuditArgs,
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
