//! Building the observer and running it in this terminal.
//!
//! The observer replaces this process, so it gets Ctrl-C itself and gives the exit code. It writes verdicts to stdout
//! and messages to stderr.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, anyhow};

use crate::{demo, exec, setup};

pub(crate) fn run(demo: bool, args: &[String]) -> Result<()> {
    setup::run()?;
    exec::run(&mut exec::in_root("cargo", ["build", "--release", "--locked", "-p", "observer"]))?;

    let mut observer = exec::as_root(exec::target_dir().join("release/observer"));
    observer.args(["run", "--verdicts"]).args(args);
    if demo {
        observer.stderr(demo::follow()?);
    }
    // exec() returns only if it failed.
    let error = observer.exec();
    Err(anyhow!(error).context(format!("cannot start `{}`", exec::line(&observer))))
}
