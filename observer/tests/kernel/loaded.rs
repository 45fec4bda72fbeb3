//! Debian's servers under the load of Debian's clients, while workers and servers are killed. Every connection gets its
//! verdict, and the sums equal the kernel's counters.
//!
//! The test does not know what each connection did, so it checks only sums. [`crate::real`] checks single connections.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::actor::Actor;
use crate::counters::{Counters, count};
use crate::hidden_events;
use crate::netns::{Netns, State};
use crate::random::totals;
use crate::real::{CURL, Dir, NGINX, PYTHON, Program, REDIS, REDIS_BENCHMARK, WRK, nginx_conf};
use crate::wait::{DEADLINE, eventually, let_pass};
use crate::watch::Watch;

/// Most differences that are shown. The rest is only counted.
const SHOWN: usize = 12;

pub(crate) fn trials() -> Vec<Trial> {
    // Each with the least number of connections.
    let tests: [(&str, Test, usize); 3] =
        [("nginx", nginx, 72), ("http_server", http_server, 43), ("redis_killed", redis_killed, 50)];
    let families = [("ipv4", "127.0.0.1:8080"), ("ipv6", "[::1]:8080")];
    let trials = tests.into_iter().flat_map(|(name, test, least)| {
        families.map(|(family, address)| {
            let address = address.parse().expect("an address");
            let name = format!("real_{name}_loaded::{family}");
            Trial::test(name, move || hidden_events::retry_if_hidden(|| run(test, least, address)))
        })
    });
    trials.collect()
}

/// A test: starts the clients and servers.
type Test = fn(&Load);

/// The namespace of one test, and the address of its server.
struct Load {
    netns: Netns,
    /// The server's address.
    address: SocketAddr,
}

fn run(test: Test, least: usize, address: SocketAddr) -> Result<(), Failed> {
    let load = Load { netns: Netns::new()?, address };
    // The audit finds a namespace by its processes. One of them must stay.
    let _stays = Actor::start("stays", &load.netns)?;
    let watch = Watch::start_own(load.netns.inode())?;
    let before = Counters::read(&load.netns);
    test(&load);

    let opened = |name| usize::try_from(count(&load.netns, "Tcp:", name)).expect("a number of connections");
    let (connected, accepted) = (opened("ActiveOpens"), opened("PassiveOpens"));
    assert!(connected >= least && accepted >= least, "only {connected} connections, {accepted} accepted");
    watch.await_closes(connected + accepted, DEADLINE);
    let audited = watch.await_audit();
    let lines = watch.finish();
    let mut wrong: Vec<_> = audited.err().into_iter().collect();
    wrong.extend(totals(&lines, Counters::read(&load.netns) - before));
    wrong.extend(watch.messages().into_iter().map(|message| format!("message of the observer: {message}")));
    let closes = |side: &str| {
        let of_side = |line: &&Value| line["kind"] == "close" && line["connection"]["opened_by"] == side;
        lines.iter().filter(of_side).count()
    };
    wrong.extend(differ("verdicts of clients' sockets", closes("local"), connected));
    wrong.extend(differ("verdicts of servers' sockets", closes("remote"), accepted));
    let is_wrong = |line: &&Value| {
        let is = |kind: &str, key: &str, word: &str| line["kind"] == kind && line[key] == word;
        is("close", "outcome", "unknown") || is("write_error", "cause", "other")
    };
    wrong.extend(lines.iter().filter(is_wrong).map(|line| format!("unknown outcome or cause: {line}")));
    if wrong.is_empty() {
        return Ok(());
    }
    let (number, shown) = (wrong.len(), wrong.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>());
    Err(format!("{number} differences\n{}", shown.join("\n")).into())
}

fn differ(what: &str, reported: usize, counted: usize) -> Option<String> {
    (reported != counted).then(|| format!("{what}: {reported} reported, {counted} counted by the kernel"))
}

/// Two seconds of load, with a reload of the configuration, then the kill of a worker.
fn nginx(load: &Load) {
    let dir = Dir::new(&load.netns, "nginx-loaded");
    // A master and two workers.
    let conf = nginx_conf(load.address, "user root;\nworker_processes 2;", 100);
    fs::write(dir.0.join("nginx.conf"), conf).expect("writing a configuration");
    let start = |what, arguments: &[&str]| Program::start(&load.netns, what, arguments, &dir);
    let server = start(&NGINX, &["-p", ".", "-c", "nginx.conf", "-e", "error.log"]);
    load.await_listener();
    let old = eventually(DEADLINE, || Some(server.children()).filter(|workers| workers.len() == 2));
    let old = old.expect("two workers");
    let url = format!("http://{}/", load.address);
    // A second of requests one after the other, so that each sees what happens to the server.
    let wrk = start(&WRK, &["--threads", "2", "--connections", "32", "--duration", "2s", &url]);

    let_pass(Duration::from_millis(600));
    server.signal(Signal::SIGHUP);
    let new = eventually(DEADLINE, || {
        let mut workers = server.children().into_iter().filter(|pid| !old.contains(pid));
        workers.next()
    });
    let_pass(Duration::from_millis(600));
    kill(Pid::from_raw(new.expect("new workers")), Signal::SIGKILL).expect("killing a worker");
    let urls = format!("http://{}/[1-40]", load.address);
    let curl = start(&CURL, &["--silent", "--noproxy", "*", "--parallel", "-o", "/dev/null", &urls]);
    wrk.succeeds();
    curl.succeeds();
    // A fast shutdown: connections are not finished.
    server.signal(Signal::SIGTERM);
    server.succeeds();
}

/// Forty pages at once, and clients that are killed in the middle of a page.
fn http_server(load: &Load) {
    let dir = Dir::new(&load.netns, "http-server-loaded");
    // More than the buffers of both ends take.
    fs::write(dir.0.join("page"), vec![b'x'; 20_000_000]).expect("writing a page");
    fs::write(dir.0.join("small"), vec![b'x'; 10_000]).expect("writing a page");
    let start = |what, arguments: &[&str]| Program::start(&load.netns, what, arguments, &dir);
    let (host, port) = (load.address.ip().to_string(), load.address.port().to_string());
    let _server = start(&PYTHON, &["-m", "http.server", &port, "--bind", &host]);
    load.await_listener();
    let page = format!("http://{}/page", load.address);
    let slow = ["--silent", "--globoff", "--noproxy", "*", "--limit-rate", "1k", "-o", "/dev/null", &page];
    let killed = [start(&CURL, &slow), start(&CURL, &slow), start(&CURL, &slow)];
    let small = format!("http://{}/small?[1-40]", load.address);
    let curl = start(&CURL, &["--silent", "--noproxy", "*", "--parallel", "-o", "/dev/null", &small]);
    curl.succeeds();
    let receiving = || load.netns.established() == 2 * killed.len();
    assert!(
        eventually(DEADLINE, || receiving().then_some(())).is_some(),
        "the killed clients were not in the middle of a page"
    );
    let_pass(Duration::from_millis(300));
    drop(killed);
    // The server notices at its next write.
    let none_left = || (load.netns.established() == 0).then_some(());
    assert!(eventually(DEADLINE, none_left).is_some(), "the server did not notice that its clients are gone");
}

/// The server is killed while fifty clients send requests as fast as they can.
fn redis_killed(load: &Load) {
    let dir = Dir::new(&load.netns, "redis-loaded");
    let start = |what, arguments: &[&str]| Program::start(&load.netns, what, arguments, &dir);
    let (host, port) = (load.address.ip().to_string(), load.address.port().to_string());
    let server = start(&REDIS, &["--port", &port, "--bind", &host, "--save", ""]);
    load.await_listener();
    let requests = ["-t", "set,get", "-c", "50", "-n", "100000000", "-d", "2000"];
    let benchmark = start(&REDIS_BENCHMARK, &[&["-h", &host, "-p", &port], &requests[..]].concat());
    let connected = || (load.netns.established() >= 100).then_some(());
    assert!(eventually(DEADLINE, connected).is_some(), "the clients did not connect");
    let_pass(Duration::from_secs(1));
    // Dropping it sends SIGKILL.
    drop(server);
    benchmark.ends();
}

impl Load {
    fn await_listener(&self) {
        let any = SocketAddr::new(self.address.ip(), 0);
        let listens = || self.netns.has(self.address, any, State::Listen).then_some(());
        assert!(eventually(DEADLINE, listens).is_some(), "the server did not listen");
    }
}
