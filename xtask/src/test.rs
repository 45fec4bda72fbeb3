//! Running the tests. The first stage that fails ends the task.
//!
//! The kernel tests come last: they need root and load the eBPF object. The soak test is one of them, run alone and for
//! longer.

use std::num::NonZeroU32;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{exec, setup};

const WORKSPACE: [&str; 4] = ["test", "--workspace", "--locked", "--"];
const KERNEL: [&str; 7] = ["test", "--locked", "-p", "observer", "--test", "kernel", "--"];

/// The variable that passes the soak test's duration to the tests, in seconds.
const SOAK: &str = "OBSERVER_TEST_SOAK";

pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::servers::provide()?;

    eprintln!("test: the workspace, without the kernel tests");
    exec::run(exec::in_root("cargo", WORKSPACE).args(args))?;

    eprintln!("test: the kernel tests, on the running kernel");
    exec::run(kernel()?.args(args))
}

/// Prometheus scrapes a daemon for this long, while connections end in every way.
pub(crate) fn soak(minutes: NonZeroU32) -> Result<()> {
    setup::run()?;
    setup::servers::provide()?;

    eprintln!("test: comparing values stored by Prometheus with the verdicts, for {minutes} minutes");
    let seconds = u64::from(minutes.get()) * 60;
    exec::run(kernel()?.args(["--exact", "prometheus", "--nocapture"]).env(SOAK, seconds.to_string()))
}

fn kernel() -> Result<Command> {
    let mut kernel = exec::in_root("cargo", KERNEL);
    if !exec::is_root() {
        // Only the test program runs as root. The files that cargo writes then belong to the user.
        kernel.env(runner_variable()?, "sudo -E");
    }
    Ok(kernel)
}

/// The variable that tells cargo how to run a program built for this machine.
fn runner_variable() -> Result<String> {
    let description = exec::capture(&mut exec::in_root("rustc", ["-vV"]))?;
    let host =
        description.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_")))
}
