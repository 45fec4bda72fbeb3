//! The daemon's gauges of half-closed connections, for a leaked descriptor.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::actor::{Action, Actor};
use crate::daemon::Daemon;
use crate::netns::{Netns, State};
use crate::retry::retry_in_lab;
use crate::wait::{DEADLINE, eventually, let_pass};
use crate::watch::observer;

/// Process name of the leaking process. No other test uses it.
const LEAKER: &str = "leaker";

/// Another one, which leaks while the daemon runs.
const SECOND: &str = "leaker-second";

/// Longer than any round trip or clock tick.
const AGE: Duration = Duration::from_millis(300);

/// The daemon scans every 10 s, and less often if a scan takes long.
const NEXT_LOOK: Duration = Duration::from_secs(90);

pub(crate) fn trial() -> Trial {
    Trial::test("gauges_of_a_leak", || retry_in_lab("gauges_of_a_leak", run))
}

/// The leak is older than the daemon, whose first scan finds it. The next scan finds that it is gone. The daemon sees
/// the FIN of a second leak, and so knows its age exactly.
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
    // The age may be a clock tick too low. It is higher if another test has an older connection.
    assert!(oldest > AGE.as_secs_f64() / 2.0, "the oldest is only {oldest} s old");

    assert_eq!(age_of(&daemon, LEAKER).as_deref(), Some("at_least"));

    let second = Actor::start(SECOND, &netns)?;
    leak(&second, &netns);
    actor.kill(Signal::SIGKILL);
    await_leaks(&daemon, "0", NEXT_LOOK);
    let known = eventually(DEADLINE, || (age_of(&daemon, SECOND)? == "exact").then_some(()));
    assert!(known.is_some(), "the age of the second leak is {:?}, not exact", age_of(&daemon, SECOND));
    Ok(())
}

/// The word that `observer half-closed` prints for the age of this process's leak. None if it lists none.
fn age_of(daemon: &Daemon, comm: &str) -> Option<String> {
    let mut command = Command::new(observer());
    command
        .args(["half-closed", "--side", "remote", "--comm", comm, "--output", "json", "--socket"])
        .arg(&daemon.socket);
    let output = command.output().expect("running the observer");
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    line["age"].as_str().map(str::to_owned)
}

/// Connects the actor to itself and closes the other end.
fn leak(actor: &Actor, netns: &Netns) {
    let (server, client) = connect(actor);
    actor.call("client", Action::Close).expect("closing");
    let reached = eventually(DEADLINE, || netns.has(server, client, State::CloseWait).then_some(()));
    assert!(reached.is_some(), "the FIN did not arrive");
}

/// Makes the actor's sockets `server` and `client`, connected to each other. Returns their addresses.
pub(crate) fn connect(actor: &Actor) -> (SocketAddr, SocketAddr) {
    let port = actor.call("listener", Action::Listen(Ipv4Addr::LOCALHOST.into())).expect("listening");
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let port = actor.call("client", Action::Connect(server)).expect("connecting");
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    actor.call("server", Action::Accept { listener: "listener".to_owned() }).expect("accepting");
    (server, client)
}

#[track_caller]
fn await_leaks(daemon: &Daemon, number: &str, deadline: Duration) {
    let series = format!("observer_tcp_half_closed_connections{{owner=\"{LEAKER}\",side=\"remote\"}}");
    let reached = eventually(deadline, || (daemon.value(&series)? == number).then_some(()));
    assert!(
        reached.is_some(),
        "{LEAKER} has {:?} half-closed connections, expected {number}",
        daemon.value(&series)
    );
}
