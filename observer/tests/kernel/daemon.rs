//! A real daemon, with its metrics on a free port.

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

/// Longest time until the daemon is ready: a busy kernel loads programs slowly.
const READY: Duration = Duration::from_secs(90);

/// A socket path of its own for queries, because the daemons of other tests may run at the same time.
fn socket() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("observer-{}-{number}.sock", std::process::id()))
}

pub(crate) struct Daemon {
    process: Child,
    /// The path of its query socket, unless `configure` chose another.
    pub(crate) socket: PathBuf,
    pub(crate) address: SocketAddr,
    messages: Receiver<String>,
}

impl Daemon {
    /// Starts it with the arguments that `configure` adds. Waits until it prints the address of its metrics.
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
        let (_, url) = ready.split_once("http://").expect("a URL in the message");
        daemon.address = url.trim_end_matches("/metrics").parse().expect("an address");
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("signalling the daemon");
    }

    /// Waits for the next message that contains `part`.
    #[track_caller]
    pub(crate) fn message(&self, part: &str) -> String {
        self.await_message(DEADLINE, part)
    }

    #[track_caller]
    fn await_message(&self, deadline: Duration, part: &str) -> String {
        let end = Instant::now() + deadline;
        let mut others = Vec::new();
        loop {
            // If it cannot get ready it ends, which also ends its messages.
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

    /// The value of the first series that begins with `series`. None if there is none.
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
        // This fails only if it has ended already.
        if self.process.kill().is_ok() {
            self.process.wait().ok();
        }
        // After SIGKILL the file is left; otherwise the daemon removed it.
        std::fs::remove_file(&self.socket).ok();
    }
}
