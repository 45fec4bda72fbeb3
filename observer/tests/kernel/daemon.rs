//! A real daemon, with its metrics on a port of its own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::watch::observer;

pub(crate) struct Daemon {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Kept open: it may have more to say.
    _messages: BufReader<ChildStderr>,
}

impl Daemon {
    /// Starts it and waits until it says where its metrics are.
    pub(crate) fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(observer());
        command.args(["run", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let mut messages = BufReader::new(process.stderr.take().expect("a pipe was asked for"));
        // It ends, and its messages with it, when it cannot get ready.
        let address = messages.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let (_, url) = line.split_once("http://")?;
            url.strip_suffix("/metrics")?.parse().ok()
        });
        let address = address.ok_or_else(|| io::Error::other("the daemon does not get ready"))?;
        Ok(Self { process, address, _messages: messages })
    }

    /// The value of a series; None while there is none.
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
    }
}
