//! Queries over a real socket, with a history from a recording. These tests need no root. `tests/kernel` has a real
//! daemon.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use observer::{
    history::HistoryLimits,
    pipeline::Pipeline,
    query::{HistorySender, serve_in_thread, socket::QuerySocket, status::DaemonStatus},
    source::{clock::monotonic_ns, recording::Recording},
    story::table,
};

/// A recording of one connection between two sockets of one host, closed with SO_LINGER {on, 0}, from Linux 6.18.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old_recordings/linger_zero.jsonl");

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// A directory for one test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("observer-query-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("query.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The daemon's query thread, fed from a recording.
struct Answering {
    sender: Option<HistorySender>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(path: &Path, limits: HistoryLimits) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let inside = runtime.enter();
        let socket = QuerySocket::bind(path, None).unwrap();
        drop(inside);
        let (sender, thread) = serve_in_thread(socket, limits).unwrap();
        Self { sender: Some(sender), thread: Some(thread) }
    }

    fn feed(&mut self) {
        let sender = self.sender.as_mut().unwrap();
        let mut pipeline = Pipeline::new(table::TableLimits::default());
        for event in Recording::open(BufReader::new(File::open(RECORDING).unwrap())).unwrap() {
            pipeline.apply(&event.unwrap(), &mut |report| sender.report(report));
        }
        pipeline.finish(&mut |report| sender.report(report));
        sender.flush();
    }

    fn status(&mut self, status: DaemonStatus) {
        self.sender.as_mut().unwrap().status(Box::new(status));
    }

    fn stop(&mut self) {
        self.sender.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts it with the recording's two closes in its history.
fn answering(place: &Place) -> Answering {
    let mut answering = Answering::start(&place.socket(), HistoryLimits::default());
    answering.feed();
    let end = Instant::now() + DEADLINE;
    while !ask(&place.socket(), r#"{"schema":1,"request":"closes","limit":9}"#).contains("\"told\":2") {
        assert!(Instant::now() < end, "the history stays empty");
    }
    answering
}

fn ask(path: &Path, question: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    writeln!(stream, "{question}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn observer(path: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(args).env("OBSERVER_SOCKET", path).stdin(Stdio::null());
    command
}

/// Exit code, stdout and stderr.
fn run(path: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = observer(path, args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn value(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn closes_are_listed_and_filtered() {
    let place = Place::new("closes");
    let _answering = answering(&place);
    let path = place.socket();
    let (code, stdout, stderr) = run(&path, &["closes"]);
    assert_eq!((code, stderr.as_str(), stdout.lines().count()), (Some(0), "", 3), "{stdout}");
    assert!(stdout.starts_with("TIME (UTC)  ") && stdout.contains("reset_sent/linger_zero"), "{stdout}");

    let (code, stdout, _) = run(&path, &["closes", "--cause", "peer_reset", "--output", "json"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 1), "{stdout}");
    let line = value(&stdout);
    assert_eq!(
        (&line["schema"], &line["kind"], &line["cause"]),
        (&1.into(), &"close".into(), &"peer_reset".into())
    );

    let (code, stdout, stderr) = run(&path, &["closes", "--limit", "1"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2), "{stdout}");
    assert!(stderr.contains("--limit N shows more"), "{stderr}");
    for args in [&["closes", "--pid", "1"][..], &["errors"]] {
        let (code, _, stderr) = run(&path, args);
        assert_eq!(
            (code, stderr.starts_with("observer: No match. History starts ")),
            (Some(1), true),
            "{stderr}"
        );
        assert!(!stderr.contains("dropped"), "{stderr}");
    }
    assert_eq!(run(&path, &["closes", "--port", "37213"]).1.lines().count(), 3);
}

#[test]
fn a_list_without_a_match_says_what_the_history_dropped() {
    let place = Place::new("dropped");
    let limits = HistoryLimits { closes: 1, ..HistoryLimits::default() };
    let mut answering = Answering::start(&place.socket(), limits);
    answering.feed();
    let end = Instant::now() + DEADLINE;
    let stderr = loop {
        let (_, _, stderr) = run(&place.socket(), &["closes", "--pid", "1"]);
        if stderr.contains("dropped") || Instant::now() > end {
            break stderr;
        }
    };
    assert!(stderr.contains("; 1 older close was dropped (history.closes)."), "{stderr}");
    let errors = run(&place.socket(), &["errors"]).2;
    assert!(errors.contains("No match. History starts") && !errors.contains("dropped"), "{errors}");
}

#[test]
fn explain_agrees_between_daemon_and_recording() {
    let place = Place::new("explain");
    let _answering = answering(&place);
    let path = place.socket();
    let (code, ladder, stderr) = run(&path, &["explain", "127.0.0.1:33824", ">", "127.0.0.1:37213"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let tail = |text: &str| text.split_once("\n\n         ms").expect("a ladder").1.to_owned();
    // The end that was named first is on the left.
    let expected = [
        "  127.0.0.1:33824                                                                    127.0.0.1:37213",
        "      0.000  connect()                                                       SYN ────────────▶",
        "      0.063                                                                  ────────────▶ SYN  handshake complete",
        "    100.307  python3[10041] close(), SO_LINGER {on, 0}: ESTABLISHED → CLOSE",
        "    100.334                                                                  ────────────▶ RST  in ESTABLISHED",
        "    100.336                                                                                     ESTABLISHED → CLOSE, 1000 unread",
        "    100.336                                                                                     the kernel leaves ECONNRESET for the process",
        "    100.344  kernel's reason TCP_STATE                                       RST ────────────▶",
        "    150.512                                                                                     python3[10041] close(), 1000 unread",
    ];
    assert_eq!(tail(&ladder).lines().collect::<Vec<_>>(), expected, "{ladder}");
    let ends = ["explain", "--recording", RECORDING, "127.0.0.1:33824", "127.0.0.1:37213"];
    let (code, recorded, _) = run(Path::new("/nonexistent"), &ends);
    assert_eq!((code, tail(&recorded)), (Some(0), tail(&ladder)));

    let (_, json, _) = run(&path, &["explain", ":37213", "--output", "json"]);
    let story = value(&json);
    assert_eq!((&story["kind"], &story["close"]["kind"]), (&"story".into(), &"close".into()));
    assert_ne!(story["close"]["id"], story["peer"]["id"]);
    let (code, stdout, stderr) = run(&path, &["explain", "1-2"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("No such close in history (starts "), "{stderr}");
    assert_eq!(run(&path, &["explain", "nonsense"]).0, Some(2));
}

#[test]
fn top_prints_one_table_without_a_terminal() {
    let place = Place::new("top");
    let _answering = answering(&place);
    let (code, stdout, stderr) = run(&place.socket(), &["top", "--by", "owner"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("2 closes, 0 write errors by owner\n"), "{stdout}");
    assert!(stdout.lines().last().unwrap().contains("  python3  "), "{stdout}");
    let (code, stdout, _) =
        run(&place.socket(), &["top", "--output", "json", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!((code, &value(&stdout)["closes"]), (Some(1), &0.into()), "nothing is as young as that");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new("pipe");
    let _answering = answering(&place);
    for args in
        [&["top"][..], &["closes"], &["status"], &["explain", ":37213"], &["closes", "--output", "json"]]
    {
        let mut command = observer(&place.socket(), args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!((status.code(), stderr), (Some(0), Vec::new()), "{args:?}");
    }
}

#[test]
fn a_follower_gets_new_closes() {
    let place = Place::new("follow");
    let mut answering = answering(&place);
    let mut command = observer(&place.socket(), &["closes", "--follow", "--output", "json"]);
    let mut child = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(|line| value(&line.unwrap()));
    let first: Vec<_> = lines.by_ref().take(2).collect();
    answering.feed();
    let next: Vec<_> = lines.by_ref().take(2).collect();
    let ids = |lines: &[serde_json::Value]| {
        let mut ids: Vec<_> = lines.iter().map(|line| line["id"].to_string()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&first), ids(&next));
}

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

#[test]
fn status_names_problems() {
    let place = Place::new("status");
    let mut answering = answering(&place);
    let lost = vec![("ring_full".to_owned(), 3), ("read_fault".to_owned(), 0)];
    answering.status(DaemonStatus { ns: monotonic_ns(), lost, ..DaemonStatus::default() });
    let end = Instant::now() + DEADLINE;
    let (code, stdout) = loop {
        let (code, stdout, _) = run(&place.socket(), &["status"]);
        if stdout.contains("degraded") || Instant::now() > end {
            break (code, stdout);
        }
    };
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("3 records did not fit into the ring buffer (ring_full)")
            && !stdout.contains("read_fault"),
        "{stdout}"
    );
    assert!(stdout.contains("of 100000 closes"), "{stdout}");
}

#[test]
fn without_a_daemon_the_error_gives_advice() {
    let place = Place::new("none");
    for args in [&["closes"][..], &["errors"], &["top"], &["status"], &["explain", ":1"]] {
        let (code, stdout, stderr) = run(&place.socket(), args);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(2), "", 1), "{stderr}");
        for part in ["no observer answers", "`observer run`", "systemctl start observer", "`observer trace`"]
        {
            assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
        }
    }
}

#[test]
fn an_invalid_request_is_refused() {
    let place = Place::new("refused");
    let _answering = answering(&place);
    let path = place.socket();
    for question in ["", "GET / HTTP/1.1", r#"{"schema":9,"request":"status"}"#] {
        assert_eq!(value(&ask(&path, question))["kind"], "error", "{question}");
    }
    let long = format!(r#"{{"schema":1,"request":"{}"}}"#, "x".repeat(20_000));
    let mut stream = UnixStream::connect(&path).unwrap();
    // It may stop reading before everything is written.
    let _cut = stream.write_all(long.as_bytes());
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("at most 16384 bytes"), "{answer}");
}

#[test]
fn silent_clients_do_not_block_others() {
    let place = Place::new("silent");
    let _answering = answering(&place);
    // More than the daemon accepts at the same time: the last ones and the query wait in the backlog.
    let silent: Vec<_> = (0..40).map(|_| UnixStream::connect(place.socket()).unwrap()).collect();
    let begin = Instant::now();
    assert!(ask(&place.socket(), r#"{"schema":1,"request":"status"}"#).contains("\"kind\":\"end\""));
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(2), "the number of clients is not bounded: {took:?}");
    drop(silent);
}

#[test]
fn only_the_owner_and_the_group_may_open_the_socket() {
    let place = Place::new("mode");
    let mut answering = answering(&place);
    let mode = fs::symlink_metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    answering.stop();
    assert!(!place.socket().exists(), "the daemon left its socket behind");
}

#[test]
fn an_existing_file_at_the_path_is_checked() {
    let place = Place::new("stale");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let bind = |path: &Path| QuerySocket::bind(path, None);
    // A killed daemon leaves its socket behind.
    drop(UnixListener::bind(place.socket()).unwrap());
    assert!(place.socket().exists());
    let socket = bind(&place.socket()).unwrap();
    let error = bind(&place.socket()).unwrap_err().to_string();
    assert!(error.contains("another observer answers at") && error.contains("--socket"), "{error}");
    drop(socket);
    File::create(place.socket()).unwrap();
    let error = bind(&place.socket()).unwrap_err().to_string();
    assert!(error.contains("is not a socket"), "{error}");
    assert!(place.socket().exists(), "a file of somebody's is removed");
    let error = bind(&place.0.join("x".repeat(120))).unwrap_err().to_string();
    assert!(error.contains("cannot listen at") && error.contains("--socket"), "{error}");
    let error =
        QuerySocket::bind(&place.0.join("other.sock"), Some("no-such-group")).unwrap_err().to_string();
    assert!(error.contains("no group") && error.contains("--socket-group"), "{error}");
}
