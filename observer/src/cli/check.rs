//! `observer check`: what this kernel offers, and the plan that follows.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::{kernel::KernelArgs, session::Session};

/// Show what this kernel offers
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    kernel: KernelArgs,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    // Not a dry run: everything is loaded and attached for a moment, as the daemon would.
    let session = Session::start(&args.kernel.settings())?;
    let mut out = std::io::stdout().lock();
    let mut print = || -> std::io::Result<()> {
        writeln!(out, "kernel {}\n", session.release)?;
        writeln!(out, "{:<22}  {:<15}  why", "hook", "mechanism")?;
        for hook in &session.plan.hooks {
            let mechanism = hook.mechanism.map_or("none", crate::attach::plan::Mechanism::word);
            writeln!(out, "{:<22}  {mechanism:<15}  {}", hook.hook.name, hook.reason)?;
        }
        writeln!(
            out,
            "\n{} hooks were loaded and attached; verdicts can be told on this kernel",
            session.hooks()
        )?;
        let refused: Vec<_> = session.refused().map(|hook| hook.hook.name).collect();
        if !refused.is_empty() {
            writeln!(
                out,
                "warning: this kernel has a better way into {} and refuses it",
                refused.join(", ")
            )?;
        }
        Ok(())
    };
    print().context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
