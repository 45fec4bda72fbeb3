//! Where one test happens: a network namespace, a client and a server in it, and an observer outside that watches.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use serde_json::{Value, json};

use crate::actor::{Act, Actor};
use crate::counters::Counters;
use crate::end::End;
use crate::netns::{Netns, State};
use crate::report::Report;
use crate::shared;
use crate::sight::{Kind, sees};
use crate::wait::{DEADLINE, eventually};
use crate::watch::Watch;

/// The listener's name in the server.
const LISTENER: &str = "listener";

/// A port on which nobody listens: nobody does in a new namespace.
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
    /// None when only the kernel is asked.
    watch: RefCell<Option<Watch>>,
    before: Counters,
    listener: OnceCell<u16>,
    sockets: Cell<u32>,
    /// Something was asked for that cannot be seen here.
    blind: Cell<bool>,
}

impl Lab {
    pub(crate) fn new(family: Family) -> Self {
        Self::with_actors(family, "cli", "srv")
    }

    /// With these names of the client's and the server's process.
    pub(crate) fn with_actors(family: Family, cli: &'static str, srv: &'static str) -> Self {
        let netns = Netns::new().expect("making a network namespace");
        let alone = std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1");
        let watch = || Watch::start(netns.inode()).expect("starting the observer");
        // One that runs already finds the namespace when the first process is in it, and that must not be missed.
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
            blind: Cell::new(false),
        }
    }

    /// Another namespace, with a client and a server of the same names and an observer that watches it.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::new(self.family)
    }

    /// Ends the observer, whatever it may have had to say, and starts another: all that is there now is older than
    /// this one.
    #[track_caller]
    pub(crate) fn watch_anew(&self) {
        let mut watch = self.watch.borrow_mut();
        if let Some(old) = watch.take() {
            drop(old);
            *watch = Some(Watch::start_own(self.netns.inode()).expect("starting the observer"));
        }
    }

    /// A connection from the client to the server: the client's end, and the server's.
    #[track_caller]
    pub(crate) fn pair(&self) -> (End<'_>, End<'_>) {
        let (client, server) = self.unaccepted();
        server.call(Act::Accept { listener: LISTENER.to_owned() }).expect("accepting");
        (client, server)
    }

    /// As [`Lab::pair`], with the server's end still in the listener's queue.
    #[track_caller]
    pub(crate) fn unaccepted(&self) -> (End<'_>, End<'_>) {
        let mut client = self.unconnected(self.listener());
        let port = client.call(Act::Connect(client.remote)).expect("connecting");
        client.local.set_port(u16::try_from(port).expect("a port"));
        let server = End { actor: &self.srv, opened_by: "remote", ..client.other() };
        (client, server)
    }

    /// The client's end of a connection attempt to this port that must fail; its own port cannot be asked for.
    #[track_caller]
    pub(crate) fn fails_to_connect(&self, port: u16, expected: Errno) -> End<'_> {
        let end = self.unconnected(port);
        assert_eq!(end.call(Act::Connect(end.remote)), Err(expected), "connecting");
        end
    }

    /// The client's end of a connection yet to be made to this port.
    pub(crate) fn unconnected(&self, port: u16) -> End<'_> {
        let number = self.sockets.get();
        self.sockets.set(number + 1);
        let (local, remote) = (SocketAddr::new(self.address(), 0), SocketAddr::new(self.address(), port));
        End { actor: &self.cli, name: format!("socket{number}"), local, remote, opened_by: "local" }
    }

    /// As [`Lab::unconnected`], with the attempt under way.
    #[track_caller]
    pub(crate) fn connecting(&self, port: u16) -> End<'_> {
        let mut end = self.unconnected(port);
        let port = end.call(Act::StartConnect(end.remote)).expect("starting to connect");
        end.local.set_port(u16::try_from(port).expect("a port"));
        end
    }

    /// A socket of the client that never tries to connect.
    #[track_caller]
    pub(crate) fn unopened(&self) -> End<'_> {
        let mut end = self.unconnected(0);
        let any = match self.family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        end.local.set_ip(any);
        end.remote.set_ip(any);
        end.call(Act::Open { ipv6: any.is_ipv6() }).expect("opening a socket");
        end
    }

    /// The port of the server's listener, which is made when it is first needed.
    #[track_caller]
    pub(crate) fn listener(&self) -> u16 {
        *self.listener.get_or_init(|| {
            let port = self.srv.call(LISTENER, Act::Listen(self.address())).expect("listening");
            u16::try_from(port).expect("a port")
        })
    }

    /// The same port, with a listener that answers nobody.
    #[track_caller]
    pub(crate) fn silent_listener(&self) -> u16 {
        let port = self.listener();
        self.srv.call(LISTENER, Act::Silence(true)).expect("silencing the listener");
        port
    }

    /// The listener answers again: the server's end of what tries to connect to it.
    #[track_caller]
    pub(crate) fn accepted_at_last(&self, client: &End<'_>) -> End<'_> {
        self.srv.call(LISTENER, Act::Silence(false)).expect("having the listener hear again");
        let server = End {
            actor: &self.srv,
            name: client.name.clone(),
            local: client.remote,
            remote: client.local,
            opened_by: "remote",
        };
        server.call(Act::Accept { listener: LISTENER.to_owned() }).expect("accepting");
        server
    }

    /// Something of the client's that connects to the server's listener by hand, and hears nothing of what comes back.
    #[track_caller]
    pub(crate) fn deaf(&self) -> End<'_> {
        let mut end = self.unconnected(self.listener());
        let port = end.call(Act::Listen(self.address())).expect("listening");
        end.local.set_port(u16::try_from(port).expect("a port"));
        end.silence();
        end
    }

    #[track_caller]
    pub(crate) fn close_listener(&self) {
        self.srv.call(LISTENER, Act::Close).expect("closing the listener");
    }

    fn address(&self) -> IpAddr {
        match self.family {
            Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
            Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// Waits until the kernel has this end in this state, be it a socket or what is left of one.
    #[track_caller]
    pub(crate) fn await_state(&self, end: &End<'_>, state: State) {
        let reached = eventually(DEADLINE, || self.netns.has(end.local, end.remote, state).then_some(()));
        assert!(reached.is_some(), "{} is not in {state:?}", end.actor.name());
    }

    /// Waits until the kernel has this end in this state no more.
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

    /// The verdict on this end, which another process than its actor ended.
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

    /// The verdict on this end, which ended before anybody accepted it: whoever listens may be named, or nobody.
    #[track_caller]
    pub(crate) fn close_unaccepted(&self, end: &End<'_>) -> Report {
        let report = self.line("close", end);
        report.shows(&json!({"connection": {"opened_by": end.opened_by}}));
        report
    }

    /// The verdict on this end, whose evidence is not complete.
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

    /// The first failing write of this end that no one has asked for before.
    #[track_caller]
    pub(crate) fn write_error_of(&self, end: &End<'_>) -> Report {
        self.write_error_by(end, end.actor.name(), end.actor.pid())
    }

    /// As [`Lab::write_error_of`], where another process than its actor wrote.
    #[track_caller]
    pub(crate) fn write_error_by(&self, end: &End<'_>, comm: &str, pid: u32) -> Report {
        if self.is_blind(Kind::WriteError) {
            return Report::new(None);
        }
        let report = self.line("write_error", end);
        report.shows(&json!({"process": {"pid": pid, "comm": comm, "uid": 0}}));
        report
    }

    /// The reset that this end's address sent when there was no connection (any more).
    #[track_caller]
    pub(crate) fn reset_of(&self, end: &End<'_>) -> Report {
        if self.is_blind(Kind::Reset) {
            return Report::new(None);
        }
        self.line("reset", end)
    }

    /// The reset that this end's socket sent, which listens or connects, for a segment of no connection of its.
    #[track_caller]
    pub(crate) fn reset_of_unconnected(&self, end: &End<'_>) -> Report {
        self.line("reset", end)
    }

    /// Whether such lines cannot come, and notes that one was asked for.
    fn is_blind(&self, kind: Kind) -> bool {
        let blind = !sees(kind);
        self.blind.set(self.blind.get() || blind);
        blind
    }

    /// How sure the verdicts were; `partly` where the observer could not see everything. None without an observer.
    pub(crate) fn evidence(&self) -> Option<&'static str> {
        let watch = self.watch.borrow();
        let inferred = watch.as_ref()?.any(|line| line["evidence"] == "inferred");
        Some(match (self.blind.get(), inferred) {
            (true, _) => "partly",
            (false, true) => "inferred",
            (false, false) => "exact",
        })
    }

    /// That this end's lingering `close()` gave up.
    #[track_caller]
    pub(crate) fn linger_expired_of(&self, end: &End<'_>) -> Report {
        let report = self.line("linger_expired", end);
        report.shows(&json!({"process": {"pid": end.actor.pid(), "comm": end.actor.name(), "uid": 0}}));
        report
    }

    /// Waits for so many closes, ends the observer, and gives every line that nobody has taken.
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

    /// The end of the test: nothing else was reported, the counters moved as the row says, and the observer finds the
    /// same when it compares them with its reports.
    #[track_caller]
    pub(crate) fn finish(&self, expected: Counters) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.await_audit().unwrap_or_else(|differs| panic!("{differs}"));
        }
        self.ends_silently();
        // The last packets of the last close may still be on their way when nobody waited for a verdict.
        let moved = || Counters::read(&self.netns) - self.before;
        eventually(DEADLINE, || (moved() == expected).then_some(()));
        assert_eq!(moved(), expected, "what the kernel counted (left) and what the row says (right)");
    }

    /// Nothing else was reported.
    #[track_caller]
    pub(crate) fn ends_silently(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            let rest = watch.finish();
            assert!(rest.is_empty(), "{} lines more than expected", rest.len());
        }
    }

    /// What came so far, for the message of a test that failed.
    pub(crate) fn dump(&self) -> String {
        let counted = Counters::read(&self.netns) - self.before;
        let lines = self.watch.borrow().as_ref().map_or_else(String::new, Watch::dump);
        format!("{lines}the kernel counted {counted:?}")
    }
}
