//! The owner of half-closed connections that no process holds: in an accept queue, or already closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::actor::{Action, Actor, How};
use crate::daemon::Daemon;
use crate::netns::{Netns, State};
use crate::report::Report;
use crate::retry::retry_in_lab;
use crate::wait::{DEADLINE, eventually, let_pass, slower};
use crate::watch::observer;

/// Process name of the closing process. No other test uses it.
const CLOSER: &str = "orphan-maker";

/// A socket without a daemon.
const NO_DAEMON: &str = "/nonexistent/observer.sock";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Longer than any round trip, and many ticks of the kernel's clock.
const WAIT: Duration = Duration::from_millis(300);

const WAIT_MS: f64 = 300.0;

/// The kernel's clock may round a time down by less than this, ms.
const TICKS_MS: f64 = 20.0;

/// A query shows the present, not the daemon's last scan. The answer must come before the next scan.
const BEFORE_NEXT_LOOK: Duration = Duration::from_secs(5);

/// The daemon scans every 10 s, and less often if a scan takes long.
const NEXT_LOOK: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name, test: Test| Trial::test(name, move || run(name, test));
    vec![
        trial("half_closed_unaccepted", unaccepted),
        trial("half_closed_among_listeners", among_listeners),
        trial("half_closed_fin_waits", fin_waits),
        trial("half_closed_orphans", orphans),
        trial("half_closed_lingering", lingering),
    ]
}

type Test = fn() -> Result<(), Failed>;

fn run(name: &str, test: Test) -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    retry_in_lab(name, test)
}

/// A listener owns the connections in its accept queue until they are accepted, whatever address it listens on.
fn unaccepted() -> Result<(), Failed> {
    let netns = Netns::new()?;
    let server = Actor::start("never-accepts", &netns)?;
    let client = Actor::start("client", &netns)?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    for (listens, connects) in
        [(LOOPBACK, LOOPBACK), (any, LOOPBACK), (LOOPBACK6, LOOPBACK6), (any6, LOOPBACK6), (any6, LOOPBACK)]
    {
        let address = SocketAddr::new(connects, listen(&server, Action::Listen(listens)));
        let before = Instant::now();
        let remote = connect(&client, address);
        let_pass(WAIT);
        // Data that arrives does not restart the wait.
        client.call("client", Action::Send { bytes: 7, flags: 0 })?;
        close(&netns, &client, remote, address);

        let waits = half_closed(&netns, address, NO_DAEMON.as_ref(), &[]).expect("a line");
        waits.shows(&json!({
            "side": "remote", "state": "CLOSE_WAIT", "process_role": "listener", "fd": null, "holders": 0,
            "process": {"pid": server.pid(), "comm": "never-accepts"},
            "queued": {"unread": 7, "unacked": 0, "unsent": 0}, "fin_sent": null,
        }));
        waits.lasted("/accept_queue/waited_ms", WAIT_MS - TICKS_MS, milliseconds(before) + TICKS_MS);

        server.call("accepted", Action::Accept { listener: "listener".to_owned() })?;
        half_closed(&netns, address, NO_DAEMON.as_ref(), &[]).expect("a line").shows(&json!({
            "process_role": "holder", "holders": 1, "process": {"pid": server.pid()}, "accept_queue": null,
        }));
        server.call("accepted", Action::Close)?;
        server.call("listener", Action::Close)?;
    }
    Ok(())
}

/// If several listeners share a port, the most specific one owns the connection. In a SO_REUSEPORT group it is the one
/// that can accept it.
fn among_listeners() -> Result<(), Failed> {
    let netns = Netns::new()?;
    let names = ["listener-one", "listener-two"];
    let [one, two] = names.map(|name| Actor::start(name, &netns).expect("an actor"));
    let client = Actor::start("client", &netns)?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    let port = listen(&one, Action::ListenTogether(SocketAddr::new(any, 0)));
    let address = SocketAddr::new(LOOPBACK, port);
    listen(&two, Action::ListenTogether(address));
    close(&netns, &client, connect(&client, address), address);
    let specific = half_closed(&netns, address, NO_DAEMON.as_ref(), &[]).expect("a line");
    specific.shows(&json!({"process_role": "listener", "process": {"pid": two.pid()}}));

    let group = SocketAddr::new(LOOPBACK, listen(&one, Action::ListenTogether(SocketAddr::new(LOOPBACK, 0))));
    listen(&two, Action::ListenTogether(group));
    close(&netns, &client, connect(&client, group), group);
    let by_pid = |actor: &Actor| {
        let pid = actor.pid().to_string();
        half_closed(&netns, group, NO_DAEMON.as_ref(), &["--pid", &pid]).is_some()
    };
    let owns = [&one, &two].map(by_pid);
    assert!(owns == [true, false] || owns == [false, true], "exactly one listener must own it: {owns:?}");
    let right = if owns[0] { &one } else { &two };
    // On the other listener accept() would block.
    right.call("accepted", Action::Accept { listener: "listener".to_owned() })?;
    assert!(by_pid(right));
    Ok(())
}

/// A FIN behind a closed window was not sent, although the socket is in FIN_WAIT1.
fn fin_waits() -> Result<(), Failed> {
    let netns = Netns::new()?;
    let actor = Actor::start("fin-waits", &netns)?;
    let peer = Actor::start("reads-nothing", &netns)?;
    let (local, remote) = connected(&actor, &peer, LOOPBACK);
    actor.call("client", Action::Fill)?;
    let unsent = actor.call("client", Action::Unsent)?;
    actor.call("client", Action::Shutdown(How::Write))?;
    await_state(&netns, local, remote, State::FinWait1);
    let waits = half_closed(&netns, local, NO_DAEMON.as_ref(), &[]).expect("a line");
    waits.shows(&json!({
        "state": "FIN_WAIT1", "process_role": "holder", "process": {"pid": actor.pid()}, "fin_sent": false,
        "accept_queue": null,
    }));
    // A window probe may deliver some of it.
    let queued = waits.value("/queued/unsent").as_u64();
    assert!(queued.is_some_and(|queued| (1..=unsent).contains(&queued)), "{queued:?} of {unsent}");
    assert!(summary(&waits).contains("; its FIN has not left: "), "{}", summary(&waits));

    // The FIN is sent with the last data.
    let mut left = unsent;
    while left > 0 {
        peer.call("server", Action::Receive(left))?;
        left = actor.call("client", Action::Unsent)?;
    }
    await_state(&netns, local, remote, State::FinWait2);
    let sent = half_closed(&netns, local, NO_DAEMON.as_ref(), &[]).expect("a line");
    sent.shows(&json!({"fin_sent": true, "queued": {"unsent": 0, "unacked": 0}}));
    Ok(())
}

/// The daemon knows which process closed an orphan, and when. Without a daemon this is unknown.
fn orphans() -> Result<(), Failed> {
    let daemon = Daemon::start(|_| ())?;
    let netns = Netns::new()?;
    let closer = Actor::start(CLOSER, &netns)?;
    let cases = [
        ("peer-acks", LOOPBACK, State::FinWait2),
        ("peer-acks-ipv6", LOOPBACK6, State::FinWait2),
        ("peer-is-silent", LOOPBACK, State::FinWait1),
        ("peer-reads-not", LOOPBACK6, State::FinWait1),
    ];
    let peers = cases.map(|(name, ..)| Actor::start(name, &netns).expect("an actor"));

    // In FIN_WAIT2 only a minisocket is left, and the verdict was already reported.
    let before = Instant::now();
    let mut orphans = Vec::new();
    for (peer, (name, ip, state)) in peers.iter().zip(cases) {
        let (local, remote) = connected(&closer, peer, ip);
        match name {
            "peer-is-silent" => drop(peer.call("server", Action::Silence(true))?),
            "peer-reads-not" => drop(closer.call("client", Action::Fill)?),
            _ => {}
        }
        closer.call("client", Action::Close)?;
        await_state(&netns, local, remote, state);
        orphans.push((local, state, name != "peer-reads-not"));
    }
    let at_once = BEFORE_NEXT_LOOK.mul_f64(slower());
    for (local, state, fin_sent) in orphans {
        let unknown = half_closed(&netns, local, NO_DAEMON.as_ref(), &[]).expect("a line");
        unknown.shows(&json!({
            "side": "local", "process": null, "process_role": null, "age": "unknown", "fin_sent": fin_sent,
        }));
        let known = eventually(at_once, || half_closed(&netns, local, &daemon.socket, &["--comm", CLOSER]));
        let known = known.ok_or_else(|| format!("the closer of {local} ({state:?}) is unknown"))?;
        known.shows(&json!({
            "side": "local", "process": {"pid": closer.pid(), "comm": CLOSER, "uid": 0},
            "process_role": "closer", "fd": null, "holders": 0, "age": "exact", "fin_sent": fin_sent,
        }));
        known.lasted("/age_ms", 0.0, milliseconds(before));
        let said = format!("{CLOSER}[{}] closed ", closer.pid());
        assert!(summary(&known).starts_with(&said), "{}", summary(&known));
    }
    let series = format!("observer_tcp_half_closed_connections{{owner=\"{CLOSER}\",side=\"local\"}}");
    // On a slow machine the kernel may have given up some of them before the next scan.
    let count = || daemon.value(&series)?.parse::<usize>().ok();
    let counted = eventually(NEXT_LOOK, || count().filter(|count| *count > 0));
    assert!(counted.is_some_and(|count| count <= cases.len()), "{CLOSER} has {counted:?}");
    Ok(())
}

/// A lingering close() has released the descriptor but not the socket. The daemon knows which process is in it.
fn lingering() -> Result<(), Failed> {
    let daemon = Daemon::start(|_| ())?;
    let netns = Netns::new()?;
    let actor = Actor::start("lingers", &netns)?;
    let peer = Actor::start("peer-is-silent", &netns)?;
    let (local, remote) = connected(&actor, &peer, LOOPBACK);
    peer.call("server", Action::Silence(true))?;
    actor.call("client", Action::Linger(Some(60)))?;
    actor.begin("client", Action::Close);
    await_state(&netns, local, remote, State::FinWait1);
    let unknown = half_closed(&netns, local, NO_DAEMON.as_ref(), &[]).expect("a line");
    unknown.shows(&json!({"process": null, "process_role": null, "holders": 0}));
    let known = eventually(DEADLINE, || half_closed(&netns, local, &daemon.socket, &["--comm", "lingers"]));
    known.ok_or("the closer is unknown")?.shows(&json!({
        "process": {"pid": actor.pid()}, "process_role": "closer", "age": "exact", "fin_sent": true,
    }));
    Ok(())
}

/// Lets the actor listen, under the name `listener`. Returns the port.
#[track_caller]
fn listen(actor: &Actor, action: Action) -> u16 {
    u16::try_from(actor.call("listener", action).expect("listening")).expect("a port")
}

/// Connects the actor's `client`. Returns its address.
#[track_caller]
fn connect(client: &Actor, address: SocketAddr) -> SocketAddr {
    let port = client.call("client", Action::Connect(address)).expect("connecting");
    SocketAddr::new(address.ip(), u16::try_from(port).expect("a port"))
}

/// Connects the `client` of one actor to the `server` of the other. Returns its address and the peer's.
#[track_caller]
fn connected(client: &Actor, server: &Actor, ip: IpAddr) -> (SocketAddr, SocketAddr) {
    let address = SocketAddr::new(ip, listen(server, Action::Listen(ip)));
    let local = connect(client, address);
    server.call("server", Action::Accept { listener: "listener".to_owned() }).expect("accepting");
    (local, address)
}

/// Closes the `client`, and waits until its FIN has been acknowledged.
#[track_caller]
fn close(netns: &Netns, client: &Actor, local: SocketAddr, remote: SocketAddr) {
    client.call("client", Action::Close).expect("closing");
    // Not the server's end: an IPv6 listener that takes IPv4 has it in the table for IPv6.
    await_state(netns, local, remote, State::FinWait2);
}

#[track_caller]
fn await_state(netns: &Netns, local: SocketAddr, remote: SocketAddr, state: State) {
    let reached = eventually(DEADLINE, || netns.has(local, remote, state).then_some(()));
    assert!(reached.is_some(), "{local} did not reach {state:?}");
}

/// The command's line for the connection with this local address. None if it lists none.
#[track_caller]
fn half_closed(netns: &Netns, local: SocketAddr, socket: &Path, filter: &[&str]) -> Option<Report> {
    let mut command = Command::new(observer());
    command.args(["half-closed", "--output", "json", "--local", &local.to_string(), "--socket"]);
    let output =
        command.arg(socket).args(filter).stdin(Stdio::null()).output().expect("running the observer");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // Other tests use the same addresses.
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let mut ours = lines.filter(|line| line["connection"]["netns"] == netns.inode());
    let line = ours.next()?;
    assert!(ours.next().is_none(), "several lines of {local}: {text}");
    Some(Report::new(Some(line)))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn summary(report: &Report) -> String {
    report.value("/summary").as_str().map(ToOwned::to_owned).unwrap_or_default()
}
