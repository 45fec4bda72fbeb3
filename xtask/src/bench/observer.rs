//! The observers that are compared: ours, the peers, and none. In: which. Out: a process that watches, until it is
//! dropped.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observer {
    /// Nobody watches.
    None,
    /// The same again: what differs from the first is noise.
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
        let mut command = match self {
            Self::None | Self::NoneAgain => return None,
            Self::Ours | Self::OursWithoutSendLength => {
                let mut command = Command::new(place.observer);
                command.arg("run").arg("--socket").arg(place.scratch.join("socket"));
                if self == Self::OursWithoutSendLength {
                    command.arg("--config").arg(place.scratch.join("without.yaml"));
                }
                command
            }
            Self::Bpftrace => {
                let mut command = Command::new("bpftrace");
                command.args(["-e", "tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); }"]);
                command
            }
            Self::Tcplife => Command::new("tcplife"),
            Self::Tcpstates => Command::new("tcpstates"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Some(command)
    }
}

/// Where things are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The release build.
    pub(crate) observer: &'a Path,
    /// A directory for what need not stay.
    pub(crate) scratch: &'a Path,
}

/// An observer at work.
pub(crate) struct Running {
    child: Child,
    /// From its start to its word that it is ready; ours only.
    pub(crate) ready_after: Option<Duration>,
    /// Kept, so that it can go on writing.
    _stderr: Option<Lines<BufReader<ChildStderr>>>,
}

/// The end of every wait for an observer.
const PATIENCE: Duration = Duration::from_secs(20);

impl Running {
    /// Starts it and waits until it watches; None where there is nothing to start.
    pub(crate) fn start(observer: Observer, place: &Place<'_>, verdicts: bool) -> Result<Option<Self>> {
        let Some(mut command) = observer.command(place) else { return Ok(None) };
        if verdicts {
            command.arg("--verdicts").stdout(Stdio::piped());
        }
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", observer.word()))?;
        let stderr = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
        let mut running = Self { child, ready_after: None, _stderr: None };
        if !observer.is_ours() {
            running.wait_for_programs(started, observer)?;
            return Ok(Some(running));
        }
        let mut stderr = stderr.context("an observer without stderr")?;
        let mut said = String::new();
        for line in stderr.by_ref() {
            let line = line.context("reading the observer's messages")?;
            if line.contains("ready: ") {
                running.ready_after = Some(started.elapsed());
                running._stderr = Some(stderr);
                return Ok(Some(running));
            }
            said = line;
        }
        bail!("the observer ended before it was ready: {said}");
    }

    /// The peers do not say when they watch: they hold programs some time before these are attached.
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

    /// Its verdicts, where they were asked for.
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

/// What our daemon has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Closes and failing writes.
    pub(crate) verdicts: u64,
    pub(crate) lost: u64,
}

/// Reads its metrics until they have stood still for longer than any verdict or counter is held back. One connection,
/// kept open: its own end would be a verdict too.
pub(crate) fn settled() -> Result<Counted> {
    let mut stream = TcpStream::connect(("127.0.0.1", 9817)).context("cannot reach the observer's metrics")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let started = Instant::now();
    let (mut last, mut since) = (Counted::default(), Instant::now());
    while since.elapsed() < Duration::from_millis(1200) && started.elapsed() < PATIENCE {
        let now = counted(&scrape(&mut stream)?);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        sleep(Duration::from_millis(300));
    }
    Ok(last)
}

fn scrape(stream: &mut TcpStream) -> Result<String> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("the observer ended the connection instead of answering");
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context("the length of the metrics")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    String::from_utf8(body).context("metrics that are no text")
}

fn counted(metrics: &str) -> Counted {
    let sum = |name: &str| -> u64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    Counted {
        verdicts: sum("observer_tcp_closes_total{") + sum("observer_tcp_write_errors_total{"),
        lost: sum("observer_records_lost_total{"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let metrics = "# HELP observer_tcp_closes_total x\nobserver_tcp_closes_total{a=\"b\"} 3\n\
                       observer_tcp_closes_total{a=\"c\"} 4\nobserver_tcp_write_errors_total{e=\"EPIPE\"} 5\n\
                       observer_records_lost_total{reason=\"ring_full\"} 2\n";
        assert_eq!(counted(metrics), Counted { verdicts: 12, lost: 2 });
    }
}
