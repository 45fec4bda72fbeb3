//! The processes that do the work of a [`Load`]. A process first prepares, and starts its work on request.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use super::load::{Load, Work};

/// Maximum number of connections per process. Each takes two descriptors, and 20,000 is a common limit.
pub(crate) const HELD_BY_ONE: u64 = 9_500;

pub(crate) struct Worker {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(load: &Load) -> Result<Self> {
        let work = load.work.to_possible_value().context("the work has no name")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(["bench-load", work.get_name(), &load.count.to_string()])
            .args(["--held", &load.held.to_string(), "--number", &load.number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process for the work")?;
        let out =
            child.stdout.take().map(BufReader::new).context("the process for the work has no stdout")?;
        Ok(Self { child, out })
    }

    /// Waits for the process's next line: `ready`, or the duration of the work.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            bail!("the process for the work ended too early");
        }
        Ok(line.trim().to_owned())
    }

    pub(crate) fn go_on(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the process for the work has no stdin")?;
        Ok(stdin.write_all(b"go\n")?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The process ends when its stdin is closed.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Starts processes that together keep this many connections open.
pub(crate) fn hold(connections: u64) -> Result<Vec<Worker>> {
    let mut left = connections;
    let mut holders = Vec::new();
    for number in 0..u8::MAX {
        let held = left.min(HELD_BY_ONE);
        if held == 0 {
            break;
        }
        left -= held;
        holders.push(Worker::start(&Load { work: Work::Fin, count: 0, held, number })?);
    }
    for holder in &mut holders {
        holder.line()?;
    }
    Ok(holders)
}
