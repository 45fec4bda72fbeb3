//! The tests. In: arguments for the test programs. Out: the tests' own output, or an error at the first stage that
//! fails. The tests against the kernel come last: they need root and the eBPF object loaded. The soak is one of them,
//! alone and long.

use std::num::NonZeroU32;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{exec, setup};

const WORKSPACE: [&str; 4] = ["test", "--workspace", "--locked", "--"];
const KERNEL: [&str; 7] = ["test", "--locked", "-p", "observer", "--test", "kernel", "--"];

/// Seconds of the soak's traffic, to the tests.
const SOAK: &str = "OBSERVER_TEST_SOAK";

pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::servers::provide()?;

    eprintln!("test: the workspace, without a kernel");
    exec::run(exec::in_root("cargo", WORKSPACE).args(args))?;

    eprintln!("test: against the running kernel");
    exec::run(kernel()?.args(args))
}

/// Prometheus scrapes a daemon for so long while connections end in every way.
pub(crate) fn soak(minutes: NonZeroU32) -> Result<()> {
    setup::run()?;
    setup::servers::provide()?;

    eprintln!("test: what Prometheus stores in {minutes} minutes, against the verdicts");
    let seconds = u64::from(minutes.get()) * 60;
    exec::run(kernel()?.args(["--exact", "prometheus", "--nocapture"]).env(SOAK, seconds.to_string()))
}

fn kernel() -> Result<Command> {
    let mut kernel = exec::in_root("cargo", KERNEL);
    if !exec::is_root() {
        // Only the test program runs as root: what cargo writes stays the user's.
        kernel.env(runner_variable()?, "sudo -E");
    }
    Ok(kernel)
}

/// The variable by which cargo is told how to run a program built for this machine.
fn runner_variable() -> Result<String> {
    let description = exec::capture(&mut exec::in_root("rustc", ["-vV"]))?;
    let host =
        description.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_")))
}
