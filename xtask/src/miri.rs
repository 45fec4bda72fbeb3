//! Miri on the code that reads untrusted or packed bytes: the records' decoder, the walk through the kernel's BTF and
//! the packed history. Miri interprets the unit tests and reports undefined behavior, such as a read out of bounds,
//! that a normal run survives by luck.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::{exec, setup};

/// Parts of test names. Each must match a test, so that a renamed module is noticed.
const TESTS: [&str; 3] = ["event::decode::", "attach::btf::", "history::"];
/// Tests that Miri cannot run: one reads /sys, the other has 20,000 rounds.
const SKIPPED: [&str; 2] = ["the_running_kernel_is_understood", "garbage_never_panics"];

pub(crate) fn run() -> Result<()> {
    if let Err(error) = setup::miri::provide() {
        eprintln!("miri: skipped: {error:#}");
        return Ok(());
    }
    TESTS.iter().try_for_each(|filter| interpret(filter))
}

fn interpret(filter: &str) -> Result<()> {
    eprintln!("miri: {filter}");
    let mut command = exec::in_root("rustup", ["run", setup::miri::TOOLCHAIN, "cargo", "miri", "test"]);
    command.args(["--locked", "--package", "observer", "--lib", "--", filter]);
    command.args(SKIPPED.iter().flat_map(|test| ["--skip", test]));
    // No test among these needs the kernel side.
    command.env("AYA_BUILD_SKIP", "1");
    // They would override the toolchain.
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    let child = command.stdout(Stdio::piped()).spawn().context("cannot start rustup")?;
    let output = child.wait_with_output().context("cannot read Miri's output")?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprint!("{text}");
    ensure!(output.status.success(), "`{}` failed ({})", exec::line(&command), output.status);
    ensure!(passed(&text) > 0, "no test has {filter:?} in its name");
    Ok(())
}

/// The number of tests in `test result: ok. 8 passed; …`.
fn passed(output: &str) -> u32 {
    let summaries = output.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    summaries.filter_map(|rest| rest.split_once(" passed")?.0.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted() {
        assert_eq!(passed("running 8 tests\ntest result: ok. 8 passed; 0 failed; 1 ignored\n"), 8);
        assert_eq!(passed("test result: ok. 0 passed; 0 failed; 400 filtered out\n"), 0);
    }
}
