//! `observer check`: what this kernel offers, and the plan that follows.

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

/// Show what this kernel offers, and which mechanism each hook uses
///
/// Everything is loaded and attached for a moment, as the daemon would. Of each hook it is shown how it is entered, or
/// that it is not: `-` where another makes up for it or it was left out as asked, `refused` where the kernel has a way
/// in and does not let us use it, `absent` where it has none.
///
/// Exit status: 0 verdicts can be told on this kernel, 1 they cannot, 2 an error: nothing could be tried.
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
            writeln!(out, "verdicts cannot be told on this kernel: {error:#}")
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
    lines.push(format!("{} hooks were attached; verdicts can be told on this kernel", session.hooks()));
    lines.extend(plan.unseen().iter().map(|unseen| format!("warning: {unseen}")));
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
