//! The observers that are compared: ours, the peers, and none. A running observer ends when its value is dropped.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::process;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observer {
    /// No observer.
    None,
    /// No observer again. The difference to the first run is noise.
    NoneAgain,
    Ours,
    /// Without the hook that also fires on successful sends.
    OursWithoutSendLength,
    Bpftrace,
    Tcplife,
    Tcpstates,
}

impl Observer {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoneAgain => "none-again",
            Self::Ours => "observer",
            Self::OursWithoutSendLength => "observer-without-sock_send_length",
            Self::Bpftrace => "bpftrace-counting",
            Self::Tcplife => "tcplife",
            Self::Tcpstates => "tcpstates",
        }
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursWithoutSendLength)
    }

    fn command(self, place: &Place<'_>) -> Option<Command> {
        // A session gets its own share of the CPU (sched_autogroup_enabled), like a service beside other services. The
        // terminal's signals do not reach it, so it must also end when the benchmark dies.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "setsid"]);
        match self {
            Self::None | Self::NoneAgain => return None,
            Self::Ours | Self::OursWithoutSendLength => {
                command.arg(place.observer).arg("run").arg("--socket").arg(place.scratch.join("socket"));
                if self == Self::OursWithoutSendLength {
                    command.arg("--config").arg(place.scratch.join("without.yaml"));
                }
            }
            Self::Bpftrace => {
                command.args(["bpftrace", "-e"]);
                command.arg("tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); }");
            }
            Self::Tcplife | Self::Tcpstates => {
                command.arg(self.word());
            }
        }
        // The peers' messages are not read, and a full or closed pipe would stop them.
        let stderr = if self.is_ours() { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        Some(command)
    }
}

/// Paths for a benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The release build of the observer.
    pub(crate) observer: &'a Path,
    /// A directory for temporary files.
    pub(crate) scratch: &'a Path,
}

/// A running observer.
pub(crate) struct Running {
    child: Child,
    /// Time from its start until it reported that it is ready. Only for ours.
    pub(crate) ready_after: Option<Duration>,
    /// Kept open, so that the observer can continue to write.
    stderr: Option<Lines<BufReader<ChildStderr>>>,
}

/// Limit of every wait for an observer.
const PATIENCE: Duration = Duration::from_secs(20);

impl Running {
    /// Starts an observer and waits until it is attached. None for no observer.
    pub(crate) fn start(observer: Observer, place: &Place<'_>, verdicts: bool) -> Result<Option<Self>> {
        let Some(mut command) = observer.command(place) else { return Ok(None) };
        if verdicts {
            command.arg("--verdicts").stdout(Stdio::piped());
        }
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", observer.word()))?;
        let stderr = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
        let mut running = Self { child, ready_after: None, stderr: None };
        if !observer.is_ours() {
            running.wait_for_programs(started, observer)?;
            return Ok(Some(running));
        }
        let mut stderr = stderr.context("the observer has no stderr")?;
        let mut said = String::new();
        for line in stderr.by_ref() {
            let line = line.context("reading the observer's messages")?;
            if line.contains("ready: ") {
                running.ready_after = Some(started.elapsed());
                running.stderr = Some(stderr);
                return Ok(Some(running));
            }
            said = line;
        }
        bail!("the observer ended before it was ready: {said}");
    }

    /// Waits until a peer is attached.
    ///
    /// The peers do not report that. Their programs are loaded some time before they are attached.
    fn wait_for_programs(&mut self, started: Instant, observer: Observer) -> Result<()> {
        while process::programs(self.pid()).map_or(0, |programs| programs.count) == 0 {
            if self.child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                bail!("{} does not run on this kernel", observer.word());
            }
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(400));
        if self.child.try_wait()?.is_some() {
            bail!("{} cannot attach on this kernel", observer.word());
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout with verdicts, if it was started with them.
    pub(crate) fn verdicts(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        if kill(pid, Signal::SIGTERM).is_ok() {
            let asked = Instant::now();
            while asked.elapsed() < PATIENCE {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                sleep(Duration::from_millis(5));
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The counters of our daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Number of closes and failing writes.
    pub(crate) verdicts: u64,
    /// Number of verdicts that the history had no time to take.
    pub(crate) not_taken: u64,
    /// Number of lost records.
    pub(crate) lost: u64,
}

/// Asks the daemon until its counters have not changed for longer than it delays any verdict or counter.
///
/// The query uses the Unix socket. A TCP connection for it would cause verdicts too.
pub(crate) fn settled(place: &Place<'_>) -> Result<Counted> {
    let started = Instant::now();
    let (mut last, mut since) = (Counted::default(), Instant::now());
    while since.elapsed() < Duration::from_millis(1200) && started.elapsed() < PATIENCE {
        let now = counted(&status(place)?);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        sleep(Duration::from_millis(200));
    }
    Ok(last)
}

fn status(place: &Place<'_>) -> Result<Value> {
    let mut status = Command::new(place.observer);
    status.args(["status", "--output", "json", "--socket"]).arg(place.scratch.join("socket"));
    let output = status.stderr(Stdio::null()).output().context("asking the observer")?;
    // The exit code shows the daemon's health, which does not matter here.
    serde_json::from_slice(&output.stdout).context("the observer's answer")
}

/// The kernel's statistics of one of our BPF programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) run_ns: u64,
    pub(crate) runs: u64,
}

/// The statistics of our programs since the observer started.
pub(crate) fn programs(place: &Place<'_>) -> Result<Vec<Program>> {
    Ok(programs_of(&status(place)?))
}

fn programs_of(status: &Value) -> Vec<Program> {
    let programs = status.pointer("/pulse/programs").and_then(Value::as_array).into_iter().flatten();
    let program = |program: &Value| {
        let number = |index| program.get(index)?.as_u64();
        let name = program.get(0)?.as_str()?.to_owned();
        Some(Program { name, run_ns: number(1)?, runs: number(2)? })
    };
    programs.filter_map(program).collect()
}

fn counted(status: &Value) -> Counted {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let of_history = ["closes", "errors", "pushed_out/count", "pushed_out/age", "pushed_out/bytes"];
    let not_taken = number("/pulse/not_taken");
    let lost = status.pointer("/pulse/lost").and_then(Value::as_array).into_iter().flatten();
    Counted {
        verdicts: of_history.iter().map(|name| number(&format!("/history/{name}"))).sum::<u64>() + not_taken,
        not_taken,
        lost: lost.filter_map(|reason| reason.get(1)?.as_u64()).sum(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_read() {
        let status = json!({"pulse": {"programs": [["rt_destroy", 100, 2]]}});
        assert_eq!(programs_of(&status), [Program { name: "rt_destroy".to_owned(), run_ns: 100, runs: 2 }]);
    }

    #[test]
    fn all_verdicts_and_losses_are_counted() {
        let status = json!({
            "pulse": {"not_taken": 1, "lost": [["ring_full", 2], ["undecodable", 3]]},
            "history": {"closes": 10, "errors": 20, "pushed_out": {"count": 30, "age": 40, "bytes": 50}},
        });
        assert_eq!(counted(&status), Counted { verdicts: 151, not_taken: 1, lost: 5 });
    }
}
