//! Queries to a real daemon about connections that it saw.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::actor::{Action, Actor};
use crate::daemon::Daemon;
use crate::netns::Netns;
use crate::retry::retry_in_lab;
use crate::wait::{DEADLINE, eventually};
use crate::watch::observer;

/// Process name of the closing process. No other test uses it.
const CLOSER: &str = "query-closer";

pub(crate) fn trial() -> Trial {
    Trial::test("queries_of_the_daemon", || retry_in_lab("queries_of_the_daemon", run))
}

fn run() -> Result<(), Failed> {
    let daemon = Daemon::start(|_| ())?;
    let netns = Netns::new()?;
    let actor = Actor::start(CLOSER, &netns)?;
    let (client, server) = connection(&actor);
    actor.call("server", Action::Close)?;
    actor.call("client", Action::Close)?;

    let closes = eventually(DEADLINE, || {
        let lines = ask(&daemon, &["closes", "--comm", CLOSER, "--output", "json"]);
        (lines.len() == 2).then_some(lines)
    });
    let closes = closes.ok_or("the daemon does not remember both ends")?;
    let ours = closes.iter().find(|line| line["connection"]["local"]["port"] == server.port());
    let id = ours.and_then(|line| line["id"].as_str()).ok_or("no verdict of the server's end")?;

    let story = ask(&daemon, &["explain", id, "--output", "json"]);
    let story = story.first().ok_or("no story")?;
    assert_eq!(story["close"]["id"], id);
    assert_eq!(story["peer"]["connection"]["local"]["port"], client.port());
    let seen = |side: &str, flag: &str, sent: bool| {
        let rows = story["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().any(|row| {
            let packet = &row["packet"];
            row["side"] == side && packet["flag"] == flag && packet["sent"] == sent
        })
    };
    assert!(seen("local", "FIN", true) && seen("remote", "FIN", false), "{story:#}");
    assert!(seen("remote", "SYN", true) && seen("local", "SYN", false), "{story:#}");

    let top = ask(&daemon, &["top", "--by", "owner", "--comm", CLOSER, "--output", "json"]);
    assert_eq!((&top[0]["closes"], &top[0]["rows"][0]["key"]), (&2.into(), &CLOSER.into()));
    let hooks = &ask(&daemon, &["status", "--output", "json"])[0]["pulse"]["hooks"];
    assert!(hooks.as_array().is_some_and(|hooks| hooks.len() > 3), "{hooks}");

    let check = |without: &str| Command::new(observer()).args(["check", "--without", without]).output();
    let unfit = check("inet_sock_set_state")?;
    let said = String::from_utf8_lossy(&unfit.stdout);
    assert_eq!(unfit.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("the observer does not work on this kernel: ") && said.contains("left out"),
        "{said}"
    );
    assert_eq!(check("a_hook_that_is_none")?.status.code(), Some(2));
    Ok(())
}

/// Connects the actor to itself. Returns the addresses of its client's and its server's end.
fn connection(actor: &Actor) -> (SocketAddr, SocketAddr) {
    let local = |port: u64| SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let server =
        local(actor.call("listener", Action::Listen(Ipv4Addr::LOCALHOST.into())).expect("listening"));
    let client = local(actor.call("client", Action::Connect(server)).expect("connecting"));
    actor.call("server", Action::Accept { listener: "listener".to_owned() }).expect("accepting");
    (client, server)
}

/// The lines of a command's output. None if it fails.
fn ask(daemon: &Daemon, args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(observer());
    let output = command.args(args).arg("--socket").arg(&daemon.socket).stdin(Stdio::null()).output();
    let output = output.expect("running the observer").stdout;
    let text = String::from_utf8(output).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
