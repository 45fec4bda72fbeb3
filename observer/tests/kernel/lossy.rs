//! A daemon that loses records says less, and nothing wrong: every verdict that it calls exact is right.
//!
//! What was done with each connection shows in the server's port, and every step waits for the one before, so that the
//! truth about both sockets is known.

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
use crate::{row, witness};

/// Half-closed connections at a time.
const HELD: usize = 100;

/// Connections that the daemon with a small table remembers.
const REMEMBERED: usize = 60;

/// Connections of each kind while the daemon stands still: more than the ring buffer takes.
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
            witness::sees_all(|| row::caught(test))
        })
    });
    trials.collect()
}

/// What a test does.
type Test = fn() -> Result<(), Failed>;

/// What is done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    ClientFirst,
    ServerFirst,
    Unread,
    LingerZero,
    /// The server shuts down writing; the client closes, then the server.
    HalfClosed,
    /// Open for a while, then reset by the server.
    ResetLater,
}

const CHURNED: [Kind; 4] = [Kind::ClientFirst, Kind::ServerFirst, Kind::Unread, Kind::LingerZero];

/// What is true of the client's and of the server's socket: outcome, causes, first_close, local_action.
type Truth = (&'static str, &'static [&'static str], &'static str, &'static str);

impl Kind {
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

/// A network namespace, a daemon that watches it, and what was done there.
struct Scene {
    netns: Netns,
    daemon: Daemon,
    log: PathBuf,
    listeners: HashMap<Kind, TcpListener>,
    begun: Instant,
}

impl Scene {
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
        let listeners = netns.run(|| Kind::ALL.map(bind));
        let listeners = Kind::ALL.into_iter().zip(listeners).collect();
        let daemon = Daemon::start(|command| {
            command.arg("--config").arg(&config);
        })?;
        Ok(Self { netns, daemon, log, listeners, begun: Instant::now() })
    }

    /// Connections, the client's end and the server's.
    fn pairs(&self, kind: Kind, number: usize) -> Vec<(TcpStream, TcpStream)> {
        let listener = &self.listeners[&kind];
        let address = listener.local_addr().expect("an address");
        let pair = |_| {
            let client = TcpStream::connect(address).expect("connecting");
            (client, listener.accept().expect("accepting").0)
        };
        self.netns.run(|| (0..number).map(pair).collect())
    }

    /// So many connections of each kind that is over at once.
    fn churn(&self, number: usize) {
        for _ in 0..number {
            for kind in CHURNED {
                for (client, server) in self.pairs(kind, 1) {
                    churn(kind, client, server);
                }
            }
        }
    }

    /// The lines on connections of this kind, with whether the socket was the server's.
    fn lines(&self, kind: Kind) -> Vec<(Value, bool)> {
        let port = Value::from(self.listeners[&kind].local_addr().expect("an address").port());
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

    /// Waits until connections that are made now get exact verdicts.
    #[track_caller]
    fn recovers(&self) {
        let exact = || self.exact(Kind::LingerZero);
        let before = exact();
        let recovered = eventually(DEADLINE, || {
            self.churn(1);
            (exact() > before + 1).then_some(())
        });
        assert!(recovered.is_some(), "no exact verdict comes any more");
    }

    /// How many verdicts on connections of this kind are called exact.
    fn exact(&self, kind: Kind) -> usize {
        self.lines(kind).iter().filter(|(line, _)| line["evidence"] == "exact").count()
    }

    fn lost(&self, reason: &str) -> u64 {
        let series = format!("observer_records_lost_total{{reason=\"{reason}\"}}");
        let lost = || self.daemon.value(&series).and_then(|lost| lost.parse().ok()).filter(|lost| *lost > 0);
        eventually(DEADLINE, lost).unwrap_or(0)
    }

    /// No exact verdict is wrong, and no socket has two.
    #[track_caller]
    fn is_true(&self, sockets: &[(Kind, usize)]) {
        for kind in Kind::ALL {
            let [client, server] = kind.truth();
            let lines = self.lines(kind);
            for (line, is_server) in &lines {
                let wrong =
                    differences(line, if *is_server { server } else { client }, *is_server, self.begun);
                let exact = line["evidence"] == "exact";
                assert!(!exact || wrong.is_empty(), "exact and wrong ({kind:?}): {wrong:?}\nin {line}");
                let says_why = line["missing"].as_array().is_some_and(|missing| !missing.is_empty());
                assert!(exact || says_why, "inferred for no reason: {line}");
            }
            if let Some((_, most)) = sockets.iter().find(|(its, _)| *its == kind) {
                let known = lines.iter().filter(|(line, _)| line["outcome"] != "unknown").count();
                assert!(known <= *most, "{known} verdicts on {most} sockets ({kind:?})");
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

fn churn(kind: Kind, mut client: TcpStream, mut server: TcpStream) {
    match kind {
        Kind::ClientFirst => ends_in_order(client, server),
        Kind::ServerFirst => ends_in_order(server, client),
        Kind::Unread => {
            client.write_all(&[0; 16]).expect("writing");
            let mut byte = [0];
            assert_eq!(server.peek(&mut byte).expect("waiting for data"), 1);
            drop(server);
            assert!(client.read(&mut byte).is_err(), "a reset was to come");
        }
        Kind::LingerZero => {
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
            drop(client);
            assert!(server.read(&mut [0]).is_err(), "a reset was to come");
        }
        Kind::HalfClosed | Kind::ResetLater => unreachable!("these are held"),
    }
}

fn ends_in_order(first: TcpStream, mut second: TcpStream) {
    drop(first);
    assert_eq!(second.read(&mut [0]).expect("reading to the end"), 0);
}

/// The daemon is stopped while more is done than its ring buffer takes. Sockets that were half-closed end meanwhile, and
/// the kernel uses their memory for connections that end afterwards.
fn stalled_reader() -> Result<(), Failed> {
    let scene = Scene::new("lossy-stalled", "ring_size: 64KiB")?;
    scene.recovers();
    let held = scene.pairs(Kind::HalfClosed, HELD);
    for (_, server) in &held {
        server.shutdown(Shutdown::Write)?;
    }
    scene.recovers();

    scene.daemon.signal(Signal::SIGSTOP);
    scene.churn(CHURN);
    for (client, mut server) in held {
        drop(client);
        assert_eq!(server.read(&mut [0])?, 0);
    }
    let later = scene.pairs(Kind::ResetLater, HELD);
    scene.daemon.signal(Signal::SIGCONT);
    scene.recovers();
    for (mut client, server) in later {
        SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
        drop(server);
        assert!(client.read(&mut [0]).is_err(), "a reset was to come");
    }
    scene.recovers();
    assert!(scene.lost("ring_full") > 0, "nothing was lost");
    scene.is_true(&[(Kind::HalfClosed, 2 * HELD), (Kind::ResetLater, 2 * HELD)]);
    // All of them were open when records were lost.
    assert_eq!((scene.exact(Kind::HalfClosed), scene.exact(Kind::ResetLater)), (0, 0), "exact after a loss");
    Ok(())
}

/// More connections are half-closed than the daemon may remember.
fn full_table() -> Result<(), Failed> {
    let scene = Scene::new("lossy-table", &format!("stories: {REMEMBERED}"))?;
    let held = scene.pairs(Kind::HalfClosed, HELD);
    for (_, server) in &held {
        server.shutdown(Shutdown::Write)?;
    }
    assert!(scene.lost("story_table_full") > 0, "nothing was lost");
    for (client, mut server) in held {
        drop(client);
        assert_eq!(server.read(&mut [0])?, 0);
    }
    scene.recovers();
    scene.is_true(&[(Kind::HalfClosed, 2 * HELD)]);
    let exact = scene.exact(Kind::HalfClosed);
    assert!((1..=REMEMBERED).contains(&exact), "{exact} exact verdicts, with room for {REMEMBERED}");
    Ok(())
}

/// Many connections end at once, before the daemon looks again, with a ring buffer that cannot take them.
fn all_at_once() -> Result<(), Failed> {
    let scene = Scene::new("lossy-at-once", "ring_size: 64KiB")?;
    let many = scene.pairs(Kind::ResetLater, 3 * HELD);
    for (_, server) in &many {
        SockRef::from(server).set_linger(Some(Duration::ZERO))?;
    }
    let (clients, servers): (Vec<_>, Vec<_>) = many.into_iter().unzip();
    scene.daemon.signal(Signal::SIGSTOP);
    drop(servers);
    for mut client in clients {
        assert!(client.read(&mut [0]).is_err(), "a reset was to come");
    }
    scene.daemon.signal(Signal::SIGCONT);
    scene.recovers();
    assert!(scene.lost("ring_full") > 0, "nothing was lost");
    scene.is_true(&[(Kind::ResetLater, 6 * HELD)]);
    assert_eq!(scene.exact(Kind::ResetLater), 0, "exact after a loss");
    Ok(())
}
