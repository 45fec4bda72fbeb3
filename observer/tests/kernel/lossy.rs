//! A daemon that loses records: every verdict that says `exact` is still right.
//!
//! The server's port tells how a connection was ended, and every step waits for the one before. So the truth about both
//! sockets is known.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::SockRef;

use crate::daemon::Daemon;
use crate::netns::Netns;
use crate::service::{directory, is_skipped};
use crate::wait::{DEADLINE, eventually};
use crate::{hidden_events, row};

/// Number of half-closed connections at the same time.
const HELD: usize = 100;

/// Size of the small story table, in connections.
const REMEMBERED: usize = 60;

/// Connections per ending while the daemon is stopped: more than the ring buffer takes.
const CHURN: usize = 200;

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 3] = [
        ("lossy_stalled_reader", stalled_reader),
        ("lossy_full_table", full_table),
        ("lossy_all_at_once", all_at_once),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            if is_skipped() {
                return Ok(());
            }
            hidden_events::retry_if_hidden(|| row::caught(test))
        })
    });
    trials.collect()
}

/// A test.
type Test = fn() -> Result<(), Failed>;

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ending {
    ClientFirst,
    ServerFirst,
    Unread,
    LingerZero,
    /// The server shuts down writing; the client closes, then the server.
    HalfClosed,
    /// Stays open for a while, then the server resets it.
    ResetLater,
}

const CHURNED: [Ending; 4] = [Ending::ClientFirst, Ending::ServerFirst, Ending::Unread, Ending::LingerZero];

/// The truth about a socket: outcome, possible causes, first_close, local_action.
type Truth = (&'static str, &'static [&'static str], &'static str, &'static str);

impl Ending {
    const ALL: [Self; 6] = [
        Self::ClientFirst,
        Self::ServerFirst,
        Self::Unread,
        Self::LingerZero,
        Self::HalfClosed,
        Self::ResetLater,
    ];

    fn truth(self) -> [Truth; 2] {
        const FIRST: &[&str] = &["orderly", "closed_first"];
        let peer_reset = ("reset_received", &["peer_reset"] as &[_], "remote", "none");
        match self {
            Self::ClientFirst => {
                [("graceful", FIRST, "local", "close"), ("graceful", &["orderly"], "remote", "close")]
            }
            Self::ServerFirst => {
                [("graceful", &["orderly"], "remote", "close"), ("graceful", FIRST, "local", "close")]
            }
            Self::HalfClosed => [
                ("graceful", &["orderly"], "remote", "close"),
                ("graceful", &["orderly"], "local", "shutdown_write"),
            ],
            Self::Unread => [peer_reset, ("reset_sent", &["unread_data"], "local", "close")],
            Self::LingerZero => [("reset_sent", &["linger_zero"], "local", "close"), peer_reset],
            Self::ResetLater => [peer_reset, ("reset_sent", &["linger_zero"], "local", "close")],
        }
    }
}

/// A network namespace with a listener per ending, and a daemon with its event log.
struct Setup {
    netns: Netns,
    daemon: Daemon,
    log: PathBuf,
    listeners: HashMap<Ending, TcpListener>,
    begun: Instant,
}

impl Setup {
    fn new(name: &str, kernel: &str) -> Result<Self, Failed> {
        let directory = directory(name)?;
        let (config, log) = (directory.join("observer.yaml"), directory.join("events.jsonl"));
        let text = format!(
            "kernel: {{{kernel}}}\nevent_log: {{path: {}, record: {{graceful: true}}}}\n",
            log.display()
        );
        fs::write(&config, text)?;
        let netns = Netns::new()?;
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening");
        let listeners = netns.run(|| Ending::ALL.map(bind));
        let listeners = Ending::ALL.into_iter().zip(listeners).collect();
        let daemon = Daemon::start(|command| {
            command.arg("--config").arg(&config);
        })?;
        Ok(Self { netns, daemon, log, listeners, begun: Instant::now() })
    }

    /// Makes connections. Returns the client's and the server's end of each.
    fn pairs(&self, ending: Ending, number: usize) -> Vec<(TcpStream, TcpStream)> {
        let listener = &self.listeners[&ending];
        let address = listener.local_addr().expect("an address");
        let pair = |_| {
            let client = TcpStream::connect(address).expect("connecting");
            (client, listener.accept().expect("accepting").0)
        };
        self.netns.run(|| (0..number).map(pair).collect())
    }

    /// Makes and ends this many connections of each ending in [`CHURNED`].
    fn churn(&self, number: usize) {
        for _ in 0..number {
            for ending in CHURNED {
                for (client, server) in self.pairs(ending, 1) {
                    churn(ending, client, server);
                }
            }
        }
    }

    /// The lines about connections with this ending, each with whether the socket was the server's.
    fn lines(&self, ending: Ending) -> Vec<(Value, bool)> {
        let port = Value::from(self.listeners[&ending].local_addr().expect("an address").port());
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = lines.filter(|line| {
            line["kind"] == "close" && line["connection"]["netns"].as_u64() == Some(self.netns.inode())
        });
        let sides = ours.filter_map(|line| {
            let is = |side: &str| line["connection"][side]["port"] == port;
            let (client, server) = (is("remote"), is("local"));
            (client || server).then_some((line, server))
        });
        sides.collect()
    }

    /// Waits until new connections get exact verdicts.
    #[track_caller]
    fn await_exact_verdicts(&self) {
        let exact = || self.exact(Ending::LingerZero);
        let before = exact();
        let recovered = eventually(DEADLINE, || {
            self.churn(1);
            (exact() > before + 1).then_some(())
        });
        assert!(recovered.is_some(), "no more exact verdicts came");
    }

    /// Number of exact verdicts on connections with this ending.
    fn exact(&self, ending: Ending) -> usize {
        self.lines(ending).iter().filter(|(line, _)| line["evidence"] == "exact").count()
    }

    fn lost(&self, reason: &str) -> u64 {
        let series = format!("observer_records_lost_total{{reason=\"{reason}\"}}");
        let lost = || self.daemon.value(&series).and_then(|lost| lost.parse().ok()).filter(|lost| *lost > 0);
        eventually(DEADLINE, lost).unwrap_or(0)
    }

    /// Checks that no exact verdict is wrong, and that no socket has two verdicts.
    #[track_caller]
    fn check_verdicts(&self, sockets: &[(Ending, usize)]) {
        for ending in Ending::ALL {
            let [client, server] = ending.truth();
            let lines = self.lines(ending);
            for (line, is_server) in &lines {
                let wrong =
                    differences(line, if *is_server { server } else { client }, *is_server, self.begun);
                let exact = line["evidence"] == "exact";
                assert!(!exact || wrong.is_empty(), "exact but wrong ({ending:?}): {wrong:?}\nin {line}");
                let says_why = line["missing"].as_array().is_some_and(|missing| !missing.is_empty());
                assert!(exact || says_why, "inferred, but nothing is missing: {line}");
            }
            if let Some((_, most)) = sockets.iter().find(|(its, _)| *its == ending) {
                let known = lines.iter().filter(|(line, _)| line["outcome"] != "unknown").count();
                assert!(known <= *most, "{known} verdicts on {most} sockets ({ending:?})");
            }
        }
    }
}

fn differences(line: &Value, truth: Truth, is_server: bool, begun: Instant) -> Vec<String> {
    let (outcome, causes, first_close, action) = truth;
    let opened_by = if is_server { "remote" } else { "local" };
    let mut wrong = Vec::new();
    let mut check = |name: &str, right: bool| {
        if !right {
            wrong.push(format!("{name} {}", line.pointer(name).unwrap_or(&Value::Null)));
        }
    };
    check("/outcome", line["outcome"] == outcome);
    check("/cause", causes.iter().any(|cause| line["cause"] == *cause));
    check("/first_close", line["first_close"] == first_close);
    check("/local_action", line["local_action"] == action);
    let opened = &line["connection"]["opened_by"];
    check("/connection/opened_by", *opened == opened_by || *opened == "unknown");
    let process = &line["process"];
    check("/process/pid", process.is_null() || process["pid"] == std::process::id());
    let most = begun.elapsed().as_secs_f64() * 1000.0;
    check("/duration_ms", line["duration_ms"].as_f64().is_none_or(|ms| ms <= most));
    wrong
}

fn churn(ending: Ending, mut client: TcpStream, mut server: TcpStream) {
    match ending {
        Ending::ClientFirst => ends_in_order(client, server),
        Ending::ServerFirst => ends_in_order(server, client),
        Ending::Unread => {
            client.write_all(&[0; 16]).expect("writing");
            let mut byte = [0];
            assert_eq!(server.peek(&mut byte).expect("waiting for data"), 1);
            drop(server);
            assert!(client.read(&mut byte).is_err(), "an RST was expected");
        }
        Ending::LingerZero => {
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
            drop(client);
            assert!(server.read(&mut [0]).is_err(), "an RST was expected");
        }
        Ending::HalfClosed | Ending::ResetLater => unreachable!("these are held"),
    }
}

fn ends_in_order(first: TcpStream, mut second: TcpStream) {
    drop(first);
    assert_eq!(second.read(&mut [0]).expect("reading to the end"), 0);
}

/// The daemon is stopped while more connections end than its ring buffer takes. Half-closed sockets end meanwhile, and
/// the kernel reuses their memory for connections that end later.
fn stalled_reader() -> Result<(), Failed> {
    let setup = Setup::new("lossy-stalled", "ring_size: 64KiB")?;
    setup.await_exact_verdicts();
    let held = setup.pairs(Ending::HalfClosed, HELD);
    for (_, server) in &held {
        server.shutdown(Shutdown::Write)?;
    }
    setup.await_exact_verdicts();

    setup.daemon.signal(Signal::SIGSTOP);
    setup.churn(CHURN);
    for (client, mut server) in held {
        drop(client);
        assert_eq!(server.read(&mut [0])?, 0);
    }
    let later = setup.pairs(Ending::ResetLater, HELD);
    setup.daemon.signal(Signal::SIGCONT);
    setup.await_exact_verdicts();
    for (mut client, server) in later {
        SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
        drop(server);
        assert!(client.read(&mut [0]).is_err(), "an RST was expected");
    }
    setup.await_exact_verdicts();
    assert!(setup.lost("ring_full") > 0, "nothing was lost");
    setup.check_verdicts(&[(Ending::HalfClosed, 2 * HELD), (Ending::ResetLater, 2 * HELD)]);
    // All these connections were open when records were lost.
    assert_eq!(
        (setup.exact(Ending::HalfClosed), setup.exact(Ending::ResetLater)),
        (0, 0),
        "exact after a loss"
    );
    Ok(())
}

/// More connections are half-closed than fit the daemon's table.
fn full_table() -> Result<(), Failed> {
    let setup = Setup::new("lossy-table", &format!("stories: {REMEMBERED}"))?;
    let held = setup.pairs(Ending::HalfClosed, HELD);
    for (_, server) in &held {
        server.shutdown(Shutdown::Write)?;
    }
    assert!(setup.lost("story_table_full") > 0, "nothing was lost");
    for (client, mut server) in held {
        drop(client);
        assert_eq!(server.read(&mut [0])?, 0);
    }
    setup.await_exact_verdicts();
    setup.check_verdicts(&[(Ending::HalfClosed, 2 * HELD)]);
    let exact = setup.exact(Ending::HalfClosed);
    assert!((1..=REMEMBERED).contains(&exact), "{exact} exact verdicts, with room for {REMEMBERED}");
    Ok(())
}

/// Many connections end at once, and the ring buffer cannot take all their records.
fn all_at_once() -> Result<(), Failed> {
    let setup = Setup::new("lossy-at-once", "ring_size: 64KiB")?;
    let many = setup.pairs(Ending::ResetLater, 3 * HELD);
    for (_, server) in &many {
        SockRef::from(server).set_linger(Some(Duration::ZERO))?;
    }
    let (clients, servers): (Vec<_>, Vec<_>) = many.into_iter().unzip();
    setup.daemon.signal(Signal::SIGSTOP);
    drop(servers);
    for mut client in clients {
        assert!(client.read(&mut [0]).is_err(), "an RST was expected");
    }
    setup.daemon.signal(Signal::SIGCONT);
    setup.await_exact_verdicts();
    assert!(setup.lost("ring_full") > 0, "nothing was lost");
    setup.check_verdicts(&[(Ending::ResetLater, 6 * HELD)]);
    assert_eq!(setup.exact(Ending::ResetLater), 0, "exact after a loss");
    Ok(())
}
