//! Processes that do the work. In: a [`Load`]. Out: the process, prepared; it works when it is told to go on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use super::load::{Load, Work};

/// Connections that one process holds: both their ends take a descriptor, and 20,000 is a usual limit.
pub(crate) const HELD_BY_ONE: u64 = 9_500;

pub(crate) struct Worker {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(load: &Load) -> Result<Self> {
        let work = load.work.to_possible_value().context("a work without a name")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(["bench-load", work.get_name(), &load.count.to_string()])
            .args(["--held", &load.held.to_string(), "--number", &load.number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the work")?;
        let out = child.stdout.take().map(BufReader::new).context("a work without stdout")?;
        Ok(Self { child, out })
    }

    /// Waits for its next line: that it is ready, or how long it took.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            bail!("the work ended before its time");
        }
        Ok(line.trim().to_owned())
    }

    pub(crate) fn go_on(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("a work without stdin")?;
        Ok(stdin.write_all(b"go\n")?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends when nobody can tell it anything any more.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Processes that hold so many connections between them, all open.
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
