//! The daemon's gauges of half-closed connections, for a descriptor that somebody forgot to close.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::actor::{Act, Actor};
use crate::netns::{Netns, State};
use crate::wait::{DEADLINE, eventually, let_pass};
use crate::watch::observer;

/// Process name of the one that forgets; no other test has it.
const LEAKER: &str = "leaker";

/// More than any round trip or tick.
const AGE: Duration = Duration::from_millis(300);

/// The daemon looks every 10 s.
const NEXT_LOOK: Duration = Duration::from_secs(20);

pub(crate) fn trial() -> Trial {
    Trial::test("gauges_of_a_leak", run)
}

/// The leak is older than the daemon, whose first look finds it; the next one finds that it is gone.
fn run() -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    let netns = Netns::new()?;
    let actor = Actor::start(LEAKER, &netns)?;
    leak(&actor, &netns);
    let_pass(AGE);

    let daemon = Daemon::start()?;
    daemon.await_leaks("1", DEADLINE);
    let oldest = daemon.value("observer_tcp_half_closed_oldest_seconds{side=\"remote\"}").expect("an age");
    let oldest: f64 = oldest.parse()?;
    // A tick less, since the kernel's times are whole ticks; more, where another test has an older one.
    assert!(oldest > AGE.as_secs_f64() / 2.0, "the oldest is only {oldest} s old");

    actor.kill(Signal::SIGKILL);
    daemon.await_leaks("0", NEXT_LOOK);
    Ok(())
}

/// A connection of the actor to itself whose other end is closed.
fn leak(actor: &Actor, netns: &Netns) {
    let port = actor.call("listener", Act::Listen(Ipv4Addr::LOCALHOST.into())).expect("listening");
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let port = actor.call("client", Act::Connect(server)).expect("connecting");
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    actor.call("server", Act::Accept { listener: "listener".to_owned() }).expect("accepting");
    actor.call("client", Act::Close).expect("closing");
    let reached = eventually(DEADLINE, || netns.has(server, client, State::CloseWait).then_some(()));
    assert!(reached.is_some(), "the FIN does not arrive");
}

struct Daemon {
    process: Child,
    address: SocketAddr,
    /// Kept open: it may have more to say.
    _messages: BufReader<ChildStderr>,
}

impl Daemon {
    /// Starts it and waits until it says where its metrics are.
    fn start() -> io::Result<Self> {
        let mut command = Command::new(observer());
        // A place of its own: daemons of other tests may run.
        let socket = std::env::temp_dir().join(format!("observer-gauges-{}.sock", std::process::id()));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--socket"])
            .arg(socket)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
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

    #[track_caller]
    fn await_leaks(&self, number: &str, deadline: Duration) {
        let series = format!("observer_tcp_half_closed_connections{{owner=\"{LEAKER}\",side=\"remote\"}}");
        let reached = eventually(deadline, || (self.value(&series)? == number).then_some(()));
        assert!(reached.is_some(), "{LEAKER} has {:?} and not {number}", self.value(&series));
    }

    /// The value of a series; None while there is none.
    fn value(&self, series: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).expect("connecting to the daemon");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").expect("asking for metrics");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reading metrics");
        answer.lines().find_map(|line| Some(line.strip_prefix(series)?.trim().to_owned()))
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
