//! The lab of one test: a network namespace, a client and a server in it, and an observer outside.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use serde_json::{Value, json};

use crate::actor::{Action, Actor};
use crate::counters::Counters;
use crate::end::End;
use crate::netns::{Netns, State};
use crate::report::Report;
use crate::shared;
use crate::visibility::{ReportKind, is_visible};
use crate::wait::{DEADLINE, eventually};
use crate::watch::Watch;

/// The name of the server's listener.
const LISTENER: &str = "listener";

/// A port without a listener: a new namespace has no listeners.
pub(crate) const CLOSED_PORT: u16 = 9;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

pub(crate) struct Lab {
    pub(crate) family: Family,
    pub(crate) netns: Netns,
    pub(crate) cli: Actor,
    pub(crate) srv: Actor,
    /// None if the test runs without an observer.
    watch: RefCell<Option<Watch>>,
    before: Counters,
    listener: OnceCell<u16>,
    sockets: Cell<u32>,
    /// The test asked for a report that the observer cannot make here.
    incomplete: Cell<bool>,
}

impl Lab {
    pub(crate) fn new(family: Family) -> Self {
        Self::with_actors(family, "cli", "srv")
    }

    /// As [`Lab::new`], with these process names of the client and the server.
    pub(crate) fn with_actors(family: Family, cli: &'static str, srv: &'static str) -> Self {
        let netns = Netns::new().expect("making a network namespace");
        let alone = std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1");
        let watch = || Watch::start(netns.inode()).expect("starting the observer");
        // A shared observer finds the namespace when the first process is in it. The test must not miss that.
        let joined = (!alone && shared::wanted()).then(watch);
        let cli = Actor::start(cli, &netns).expect("starting the client");
        let srv = Actor::start(srv, &netns).expect("starting the server");
        joined.iter().for_each(Watch::await_audit_begun);
        let watch = joined.or_else(|| (!alone).then(watch));
        let before = Counters::read(&netns);
        Self {
            family,
            netns,
            cli,
            srv,
            watch: RefCell::new(watch),
            before,
            listener: OnceCell::new(),
            sockets: Cell::new(0),
            incomplete: Cell::new(false),
        }
    }

    /// Another namespace, with a client and a server of the same names and an observer of its own.
    pub(crate) fn another_lab(&self) -> Self {
        Self::new(self.family)
    }

    /// Ends the observer, ignores its remaining reports, and starts another. All present connections are then older
    /// than the observer.
    #[track_caller]
    pub(crate) fn restart_observer(&self) {
        let mut watch = self.watch.borrow_mut();
        if let Some(old) = watch.take() {
            drop(old);
            *watch = Some(Watch::start_own(self.netns.inode()).expect("starting the observer"));
        }
    }

    /// Connects the client to the server. Returns the client's end and the server's end.
    #[track_caller]
    pub(crate) fn pair(&self) -> (End<'_>, End<'_>) {
        let (client, server) = self.unaccepted();
        server.call(Action::Accept { listener: LISTENER.to_owned() }).expect("accepting");
        (client, server)
    }

    /// As [`Lab::pair`], with the server's end still in the listener's queue.
    #[track_caller]
    pub(crate) fn unaccepted(&self) -> (End<'_>, End<'_>) {
        let mut client = self.unconnected(self.listener());
        let port = client.call(Action::Connect(client.remote)).expect("connecting");
        client.local.set_port(u16::try_from(port).expect("a port"));
        let server = End { actor: &self.srv, opened_by: "remote", ..client.other() };
        (client, server)
    }

    /// The client's end of a connection attempt to this port that must fail. Its own port is then unknown.
    #[track_caller]
    pub(crate) fn fails_to_connect(&self, port: u16, expected: Errno) -> End<'_> {
        let end = self.unconnected(port);
        assert_eq!(end.call(Action::Connect(end.remote)), Err(expected), "connecting");
        end
    }

    /// The client's end of a connection to this port that is not begun.
    pub(crate) fn unconnected(&self, port: u16) -> End<'_> {
        let number = self.sockets.get();
        self.sockets.set(number + 1);
        let (local, remote) = (SocketAddr::new(self.address(), 0), SocketAddr::new(self.address(), port));
        End { actor: &self.cli, name: format!("socket{number}"), local, remote, opened_by: "local" }
    }

    /// As [`Lab::unconnected`], with connect() begun.
    #[track_caller]
    pub(crate) fn connecting(&self, port: u16) -> End<'_> {
        let mut end = self.unconnected(port);
        let port = end.call(Action::StartConnect(end.remote)).expect("starting to connect");
        end.local.set_port(u16::try_from(port).expect("a port"));
        end
    }

    /// A socket of the client that never tries to connect.
    #[track_caller]
    pub(crate) fn unconnected_socket(&self) -> End<'_> {
        let mut end = self.unconnected(0);
        let any = match self.family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        end.local.set_ip(any);
        end.remote.set_ip(any);
        end.call(Action::Open { ipv6: any.is_ipv6() }).expect("opening a socket");
        end
    }

    /// The port of the server's listener. The first call makes the listener.
    #[track_caller]
    pub(crate) fn listener(&self) -> u16 {
        *self.listener.get_or_init(|| {
            let port = self.srv.call(LISTENER, Action::Listen(self.address())).expect("listening");
            u16::try_from(port).expect("a port")
        })
    }

    /// The same port, with a listener that drops all packets.
    #[track_caller]
    pub(crate) fn silent_listener(&self) -> u16 {
        let port = self.listener();
        self.srv.call(LISTENER, Action::Silence(true)).expect("silencing the listener");
        port
    }

    /// Lets the listener answer again. Returns the server's end of the connection that is tried.
    #[track_caller]
    pub(crate) fn accept_late(&self, client: &End<'_>) -> End<'_> {
        self.srv.call(LISTENER, Action::Silence(false)).expect("letting the listener answer again");
        let server = End {
            actor: &self.srv,
            name: client.name.clone(),
            local: client.remote,
            remote: client.local,
            opened_by: "remote",
        };
        server.call(Action::Accept { listener: LISTENER.to_owned() }).expect("accepting");
        server
    }

    /// An end of the client that the test speaks for with raw segments. It drops all answers of the server's listener.
    #[track_caller]
    pub(crate) fn raw_client(&self) -> End<'_> {
        let mut end = self.unconnected(self.listener());
        let port = end.call(Action::Listen(self.address())).expect("listening");
        end.local.set_port(u16::try_from(port).expect("a port"));
        end.silence();
        end
    }

    #[track_caller]
    pub(crate) fn close_listener(&self) {
        self.srv.call(LISTENER, Action::Close).expect("closing the listener");
    }

    fn address(&self) -> IpAddr {
        match self.family {
            Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
            Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// Waits until the kernel has this end in this state, as a full socket or as a minisocket.
    #[track_caller]
    pub(crate) fn await_state(&self, end: &End<'_>, state: State) {
        let reached = eventually(DEADLINE, || self.netns.has(end.local, end.remote, state).then_some(()));
        assert!(reached.is_some(), "{} is not in {state:?}", end.actor.name());
    }

    /// Waits until the kernel no longer has this end in this state.
    #[track_caller]
    pub(crate) fn await_out_of_state(&self, end: &End<'_>, state: State) {
        let left = eventually(DEADLINE, || (!self.netns.has(end.local, end.remote, state)).then_some(()));
        assert!(left.is_some(), "{} stays in {state:?}", end.actor.name());
    }

    /// The verdict on this end, which must name its actor as the process.
    #[track_caller]
    pub(crate) fn close_of(&self, end: &End<'_>) -> Report {
        self.close_by(end, end.actor.name(), end.actor.pid())
    }

    /// The verdict on this end, which this other process ended.
    #[track_caller]
    pub(crate) fn close_by(&self, end: &End<'_>, comm: &str, pid: u32) -> Report {
        let report = self.line("close", end);
        report.shows(&json!({
            "process": {"pid": pid, "comm": comm, "uid": 0},
            "connection": {"opened_by": end.opened_by},
            "missing": [],
        }));
        report.lasted("/duration_ms", 0.0, f64::MAX);
        report
    }

    /// The verdict on this end, which ended before accept(). It may name the listening process, or none.
    #[track_caller]
    pub(crate) fn close_unaccepted(&self, end: &End<'_>) -> Report {
        let report = self.line("close", end);
        report.shows(&json!({"connection": {"opened_by": end.opened_by}}));
        report
    }

    /// The verdict on this end, whose evidence may be incomplete.
    #[track_caller]
    pub(crate) fn doubtful_close_of(&self, end: &End<'_>) -> Report {
        let report = self.line("close", end);
        report.shows(&json!({
            "process": {"pid": end.actor.pid(), "comm": end.actor.name(), "uid": 0},
            "connection": {"opened_by": end.opened_by},
        }));
        report
    }

    /// The verdict on this end, which is older than the observer.
    #[track_caller]
    pub(crate) fn close_of_older(&self, end: &End<'_>) -> Report {
        let report = self.line("close", end);
        report.shows(&json!({
            "process": {"pid": end.actor.pid(), "comm": end.actor.name(), "uid": 0},
            "connection": {"opened_by": "unknown"},
            "duration_ms": null,
        }));
        report
    }

    /// The next failing write of this end that the test has not taken yet.
    #[track_caller]
    pub(crate) fn write_error_of(&self, end: &End<'_>) -> Report {
        self.write_error_by(end, end.actor.name(), end.actor.pid())
    }

    /// As [`Lab::write_error_of`], for a write of this other process.
    #[track_caller]
    pub(crate) fn write_error_by(&self, end: &End<'_>, comm: &str, pid: u32) -> Report {
        if self.is_invisible(ReportKind::WriteError) {
            return Report::new(None);
        }
        let report = self.line("write_error", end);
        report.shows(&json!({"process": {"pid": pid, "comm": comm, "uid": 0}}));
        report
    }

    /// The RST that this end's address sent without a connection, or after its end.
    #[track_caller]
    pub(crate) fn reset_of(&self, end: &End<'_>) -> Report {
        if self.is_invisible(ReportKind::Reset) {
            return Report::new(None);
        }
        self.line("reset", end)
    }

    /// The RST that this end's listening or connecting socket sent for a segment of no connection.
    #[track_caller]
    pub(crate) fn reset_of_unconnected(&self, end: &End<'_>) -> Report {
        self.line("reset", end)
    }

    /// Whether the observer cannot make such reports here. Remembers that the test asked for one.
    fn is_invisible(&self, kind: ReportKind) -> bool {
        let blind = !is_visible(kind);
        self.incomplete.set(self.incomplete.get() || blind);
        blind
    }

    /// The weakest evidence of the verdicts, or `partly` if the observer cannot report everything here. None without an
    /// observer.
    pub(crate) fn evidence(&self) -> Option<&'static str> {
        let watch = self.watch.borrow();
        let inferred = watch.as_ref()?.any(|line| line["evidence"] == "inferred");
        Some(match (self.incomplete.get(), inferred) {
            (true, _) => "partly",
            (false, true) => "inferred",
            (false, false) => "exact",
        })
    }

    /// The report that this end's lingering `close()` reached its time limit.
    #[track_caller]
    pub(crate) fn linger_expired_of(&self, end: &End<'_>) -> Report {
        let report = self.line("linger_expired", end);
        report.shows(&json!({"process": {"pid": end.actor.pid(), "comm": end.actor.name(), "uid": 0}}));
        report
    }

    /// Waits for this many closes, ends the observer, and returns every line that no test has taken.
    #[track_caller]
    pub(crate) fn all_lines(&self, closes: usize) -> Vec<Value> {
        let watch = self.watch.borrow();
        let watch = watch.as_ref().expect("an observer");
        watch.await_closes(closes, DEADLINE);
        watch.finish()
    }

    #[track_caller]
    fn line(&self, kind: &str, end: &End<'_>) -> Report {
        let watch = self.watch.borrow();
        let Some(watch) = &*watch else { return Report::new(None) };
        let fits = |side: &Value, address: SocketAddr| {
            address.port() == 0 || side["port"].as_u64() == Some(address.port().into())
        };
        let line = watch.take(|line| {
            let connection = &line["connection"];
            line["kind"] == kind
                && fits(&connection["local"], end.local)
                && fits(&connection["remote"], end.remote)
        });
        let Some(line) = line else {
            panic!("no {kind} of {} {} -> {}", end.actor.name(), end.local, end.remote)
        };
        assert!(line["summary"].as_str().is_some_and(|text| !text.is_empty()), "no summary in {line}");
        let report = Report::new(Some(line));
        report.shows(&json!({
            "schema": 1,
            "connection": {
                "family": match self.family { Family::Ipv4 => "ipv4", Family::Ipv6 => "ipv6" },
                "local": {"addr": end.local.ip()},
                "remote": {"addr": end.remote.ip()},
                "netns": self.netns.inode(),
            },
        }));
        report
    }

    /// Ends the test. Nothing else was reported, the counters moved as the row says, and the observer's audit agrees
    /// with its reports.
    #[track_caller]
    pub(crate) fn finish(&self, expected: Counters) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.await_audit().unwrap_or_else(|differs| panic!("{differs}"));
        }
        self.ends_silently();
        // Without an observer nothing has waited for the last close, whose packets may still be on their way.
        let moved = || Counters::read(&self.netns) - self.before;
        eventually(DEADLINE, || (moved() == expected).then_some(()));
        assert_eq!(moved(), expected, "left: counted by the kernel; right: expected by the row");
    }

    /// Checks that nothing else was reported.
    #[track_caller]
    pub(crate) fn ends_silently(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            let rest = watch.finish();
            assert!(rest.is_empty(), "{} lines more than expected", rest.len());
        }
    }

    /// All lines so far and the counters, for the message of a test that failed.
    pub(crate) fn dump(&self) -> String {
        let counted = Counters::read(&self.netns) - self.before;
        let lines = self.watch.borrow().as_ref().map_or_else(String::new, Watch::dump);
        format!("{lines}the kernel counted {counted:?}")
    }
}
