//! The daemon's gauges of half-closed connections, for a descriptor that somebody forgot to close.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::actor::{Act, Actor};
use crate::again::once_more;
use crate::daemon::Daemon;
use crate::netns::{Netns, State};
use crate::wait::{DEADLINE, eventually, let_pass};
use crate::watch::observer;

/// Process name of the one that forgets; no other test has it.
const LEAKER: &str = "leaker";

/// Another, which forgets while the daemon looks.
const SECOND: &str = "leaker-second";

/// More than any round trip or tick.
const AGE: Duration = Duration::from_millis(300);

/// The daemon looks every 10 s, and where a look takes long less often.
const NEXT_LOOK: Duration = Duration::from_secs(90);

pub(crate) fn trial() -> Trial {
    Trial::test("gauges_of_a_leak", || once_more("gauges_of_a_leak", run))
}

/// The leak is older than the daemon, whose first look finds it; the next one finds that it is gone. When the FIN of a
/// second leak came is asked of the daemon, which saw it.
fn run() -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    let netns = Netns::new()?;
    let actor = Actor::start(LEAKER, &netns)?;
    leak(&actor, &netns);
    let_pass(AGE);

    let daemon = Daemon::start(|_| ())?;
    await_leaks(&daemon, "1", DEADLINE);
    let oldest = daemon.value("observer_tcp_half_closed_oldest_seconds{side=\"remote\"}").expect("an age");
    let oldest: f64 = oldest.parse()?;
    // A tick less, since the kernel's times are whole ticks; more, where another test has an older one.
    assert!(oldest > AGE.as_secs_f64() / 2.0, "the oldest is only {oldest} s old");

    assert_eq!(age_of(&daemon, LEAKER).as_deref(), Some("at_least"));

    let second = Actor::start(SECOND, &netns)?;
    leak(&second, &netns);
    actor.kill(Signal::SIGKILL);
    await_leaks(&daemon, "0", NEXT_LOOK);
    let known = eventually(DEADLINE, || (age_of(&daemon, SECOND)? == "exact").then_some(()));
    assert!(known.is_some(), "when the FIN came is {:?} to the daemon", age_of(&daemon, SECOND));
    Ok(())
}

/// What `observer half-closed` makes of the age, if it lists such a process as one that does not close.
fn age_of(daemon: &Daemon, comm: &str) -> Option<String> {
    let mut command = Command::new(observer());
    command
        .args(["half-closed", "--side", "remote", "--comm", comm, "--output", "json", "--socket"])
        .arg(&daemon.socket);
    let output = command.output().expect("running the observer");
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    line["age"].as_str().map(str::to_owned)
}

/// A connection of the actor to itself whose other end is closed.
fn leak(actor: &Actor, netns: &Netns) {
    let (server, client) = connect(actor);
    actor.call("client", Act::Close).expect("closing");
    let reached = eventually(DEADLINE, || netns.has(server, client, State::CloseWait).then_some(()));
    assert!(reached.is_some(), "the FIN does not arrive");
}

/// Makes the actor's sockets `server` and `client`, connected to each other; returns their addresses.
pub(crate) fn connect(actor: &Actor) -> (SocketAddr, SocketAddr) {
    let port = actor.call("listener", Act::Listen(Ipv4Addr::LOCALHOST.into())).expect("listening");
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let port = actor.call("client", Act::Connect(server)).expect("connecting");
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    actor.call("server", Act::Accept { listener: "listener".to_owned() }).expect("accepting");
    (server, client)
}

#[track_caller]
fn await_leaks(daemon: &Daemon, number: &str, deadline: Duration) {
    let series = format!("observer_tcp_half_closed_connections{{owner=\"{LEAKER}\",side=\"remote\"}}");
    let reached = eventually(deadline, || (daemon.value(&series)? == number).then_some(()));
    assert!(reached.is_some(), "{LEAKER} has {:?} and not {number}", daemon.value(&series));
}
