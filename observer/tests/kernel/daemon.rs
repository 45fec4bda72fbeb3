//! A real daemon, with a free port for its metrics.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::DEADLINE;
use crate::watch::observer;

/// Loading programs into a busy kernel takes a while.
const READY: Duration = Duration::from_secs(90);

/// For queries, which most tests do not ask: a place of its own, since daemons of other tests may run.
fn socket() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("observer-{}-{number}.sock", std::process::id()))
}

pub(crate) struct Daemon {
    process: Child,
    /// Where it answers, unless it was configured otherwise.
    pub(crate) socket: PathBuf,
    pub(crate) address: SocketAddr,
    messages: Receiver<String>,
}

impl Daemon {
    /// Starts it, as `configure` says, and waits until it says where its metrics are.
    pub(crate) fn start(configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = Command::new(observer());
        let socket = socket();
        command.args(["run", "--listen", "127.0.0.1:0"]).env("OBSERVER_SOCKET", &socket);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        configure(&mut command);
        let mut process = command.spawn()?;
        let (sender, messages) = channel();
        let lines = BufReader::new(process.stderr.take().expect("a pipe was asked for")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self { process, socket, address, messages };
        let ready = daemon.await_message(READY, "metrics at http://");
        let (_, url) = ready.split_once("http://").expect("it was waited for");
        daemon.address = url.trim_end_matches("/metrics").parse().expect("an address");
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("signalling the daemon");
    }

    /// The next message that holds this.
    #[track_caller]
    pub(crate) fn message(&self, part: &str) -> String {
        self.await_message(DEADLINE, part)
    }

    #[track_caller]
    fn await_message(&self, deadline: Duration, part: &str) -> String {
        let end = Instant::now() + deadline;
        let mut others = Vec::new();
        loop {
            // It ends, and its messages with it, when it cannot get ready.
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.messages.recv_timeout(left) else {
                panic!("no message with {part:?}, but {others:?}")
            };
            if line.contains(part) {
                return line;
            }
            others.push(line);
        }
    }

    /// The value of a series, or the first of those that begin so; None while there is none.
    pub(crate) fn value(&self, series: &str) -> Option<String> {
        self.scrape().lines().find_map(|line| Some(line.strip_prefix(series)?.trim().to_owned()))
    }

    /// All metrics as text.
    pub(crate) fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.address).expect("connecting to the daemon");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").expect("asking for metrics");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reading metrics");
        answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        if self.process.kill().is_ok() {
            self.process.wait().ok();
        }
        // It had no time to do it itself; gone already where it had.
        std::fs::remove_file(&self.socket).ok();
    }
}
