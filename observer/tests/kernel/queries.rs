//! Questions to a real daemon about what it really saw.

use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::actor::{Act, Actor};
use crate::again::once_more;
use crate::netns::Netns;
use crate::wait::{DEADLINE, eventually};
use crate::watch::observer;

/// Process name of the one that asks for trouble; no other test has it.
const CLOSER: &str = "query-closer";

pub(crate) fn trial() -> Trial {
    Trial::test("queries_of_the_daemon", || once_more("queries_of_the_daemon", run))
}

fn run() -> Result<(), Failed> {
    let daemon = Daemon::start()?;
    let netns = Netns::new()?;
    let actor = Actor::start(CLOSER, &netns)?;
    let (client, server) = connection(&actor);
    actor.call("server", Act::Close)?;
    actor.call("client", Act::Close)?;

    let closes = eventually(DEADLINE, || {
        let lines = daemon.ask(&["closes", "--comm", CLOSER, "--output", "json"]);
        (lines.len() == 2).then_some(lines)
    });
    let closes = closes.ok_or("the daemon does not remember both ends")?;
    let ours = closes.iter().find(|line| line["connection"]["local"]["port"] == server.port());
    let id = ours.and_then(|line| line["id"].as_str()).ok_or("no verdict of the server's end")?;

    let story = daemon.ask(&["explain", id, "--output", "json"]);
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

    let top = daemon.ask(&["top", "--by", "owner", "--comm", CLOSER, "--output", "json"]);
    assert_eq!((&top[0]["closes"], &top[0]["rows"][0]["key"]), (&2.into(), &CLOSER.into()));
    let hooks = &daemon.ask(&["status", "--output", "json"])[0]["pulse"]["hooks"];
    assert!(hooks.as_array().is_some_and(|hooks| hooks.len() > 3), "{hooks}");
    Ok(())
}

/// A connection of the actor to itself: its client's and its server's end.
fn connection(actor: &Actor) -> (SocketAddr, SocketAddr) {
    let local = |port: u64| SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let server = local(actor.call("listener", Act::Listen(Ipv4Addr::LOCALHOST.into())).expect("listening"));
    let client = local(actor.call("client", Act::Connect(server)).expect("connecting"));
    actor.call("server", Act::Accept { listener: "listener".to_owned() }).expect("accepting");
    (client, server)
}

struct Daemon {
    process: Child,
    socket: PathBuf,
    /// Kept open: it may have more to say.
    _messages: BufReader<ChildStderr>,
}

impl Daemon {
    fn start() -> io::Result<Self> {
        let socket = std::env::temp_dir().join(format!("observer-queries-{}.sock", std::process::id()));
        let mut command = Command::new(observer());
        command.args(["run", "--listen", "127.0.0.1:0", "--socket"]).arg(&socket);
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut messages = BufReader::new(process.stderr.take().expect("a pipe was asked for"));
        let mut line = String::new();
        // It ends, and its messages with it, when it cannot get ready.
        while !line.contains("ready") {
            line.clear();
            if messages.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the daemon does not get ready"));
            }
        }
        Ok(Self { process, socket, _messages: messages })
    }

    /// What a command answers, line by line; nothing when it fails.
    fn ask(&self, args: &[&str]) -> Vec<Value> {
        let mut command = Command::new(observer());
        let output = command.args(args).arg("--socket").arg(&self.socket).stdin(Stdio::null()).output();
        let output = output.expect("running the observer").stdout;
        let text = String::from_utf8(output).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        if self.process.kill().is_ok() {
            self.process.wait().ok();
        }
        std::fs::remove_file(&self.socket).ok();
    }
}
