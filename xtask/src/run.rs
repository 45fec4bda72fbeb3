//! The observer, built and run in this terminal. In: arguments for `observer run`. Out: verdicts on stdout, messages
//! on stderr, and the observer's own exit code, because it takes this process's place and gets Ctrl-C itself.

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
    // Comes back only where it failed.
    let error = observer.exec();
    Err(anyhow!(error).context(format!("cannot start `{}`", exec::line(&observer))))
}
