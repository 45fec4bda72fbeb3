//! `observer check`: what this kernel offers, and the plan that follows.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::session::Session;
use crate::config;

/// Show what this kernel offers
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {}

pub(crate) fn run(_: &CheckArgs) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    // Not a dry run: everything is loaded and attached for a moment, as the daemon would.
    let session = Session::start(&config::Kernel::default())?;
    let mut out = std::io::stdout().lock();
    let mut print = || -> std::io::Result<()> {
        writeln!(out, "kernel {}\n", session.release)?;
        writeln!(out, "{:<22}  {:<15}  why", "hook", "mechanism")?;
        for hook in &session.plan.hooks {
            let mechanism = hook.mechanism.map_or("none", crate::attach::plan::Mechanism::word);
            writeln!(out, "{:<22}  {mechanism:<15}  {}", hook.entry.hook, hook.reason)?;
        }
        writeln!(
            out,
            "\n{} hooks were loaded and attached; verdicts can be told on this kernel",
            session.hooks()
        )
    };
    print().context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
