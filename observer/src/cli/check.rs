//! `observer check`: which mechanism each hook uses on this kernel, and why.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::terminal::width;
use crate::{
    attach::AttachError,
    cli::args::kernel::KernelArgs,
    daemon::session::Session,
    render::table::{self, words},
};

/// Show which mechanism each hook uses on this kernel, and why
///
/// Loads and attaches all hooks for a moment, as the daemon would. The table shows the mechanism of each hook.
/// A hook that is not attached has one of three marks: `-`, it is not needed or was left out by --without; `refused`,
/// the kernel does not permit it; `absent`, the kernel does not offer it.
///
/// Exit status: 0 the observer works on this kernel, 1 it does not, 2 error (no hook could be tried)
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    kernel: KernelArgs,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let session = match Session::start(&args.kernel.settings()) {
        Err(error) if error.downcast_ref().is_some_and(AttachError::is_unfit) => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "the observer does not work on this kernel: {error:#}")
                .context("writing to stdout")?;
            return Ok(ExitCode::from(1));
        }
        session => session?,
    };
    let plan = &session.plan;
    let mut lines = vec![format!("kernel {}", session.release)];
    lines.extend(plan.closed.iter().map(ToString::to_string));
    lines.push(String::new());
    let rows = plan.hooks.iter().map(|hook| {
        let (name, word) = (hook.hook.name.to_owned(), hook.word().to_owned());
        [name, word, hook.reason.clone()]
    });
    lines.extend(table::lines(&["HOOK", "MECHANISM", "WHY"].map(words), rows, width()));
    lines.push(String::new());
    lines.push(format!("the observer works on this kernel: {} hooks attached", session.hooks()));
    lines.extend(plan.unseen().iter().map(|unseen| format!("warning: {unseen}")));
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
