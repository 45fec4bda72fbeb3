//! The tests. In: arguments for the test programs. Out: the tests' own output, or an error at the first stage that
//! fails. The tests against the kernel come last: they need root and the eBPF object loaded.

use anyhow::{Context as _, Result};

use crate::{exec, setup};

const WORKSPACE: [&str; 4] = ["test", "--workspace", "--locked", "--"];
const KERNEL: [&str; 7] = ["test", "--locked", "-p", "observer", "--test", "kernel", "--"];

pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::servers::provide()?;

    eprintln!("test: the workspace, without a kernel");
    exec::run(exec::in_root("cargo", WORKSPACE).args(args))?;

    eprintln!("test: against the running kernel");
    let mut kernel = exec::in_root("cargo", KERNEL);
    if !exec::is_root() {
        // Only the test program runs as root: what cargo writes stays the user's.
        kernel.env(runner_variable()?, "sudo -E");
    }
    exec::run(kernel.args(args))
}

/// The variable by which cargo is told how to run a program built for this machine.
fn runner_variable() -> Result<String> {
    let description = exec::capture(&mut exec::in_root("rustc", ["-vV"]))?;
    let host =
        description.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_")))
}
