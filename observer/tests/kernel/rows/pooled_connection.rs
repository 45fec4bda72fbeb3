//! A client takes an idle connection from a pool after the server has closed it.

use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde_json::{Value, json};

use crate::actor::How;
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, Report, linger_off, reset_received_in};
use crate::wait::let_pass;

rows![
    pool_writes_after_server_close,
    pool_writes_twice_after_close,
    pool_writes_after_server_shutdown,
    pool_reads_before_use,
    pool_never_closes,
];

/// The time that the connection stays in the pool after the server has closed it.
const IDLE: Duration = Duration::from_millis(300);

/// [`IDLE`] in milliseconds, less the millisecond by which a timer may be early.
const IDLE_MS: f64 = 299.0;

/// The client's end, and its verdict, of a connection that the server closed while it was idle. The client has written
/// a request of 200 bytes into it. The server's reports are already checked.
fn write_into_stale_connection(lab: &Lab) -> (End<'_>, Report) {
    let (client, server) = lab.pair();
    server.close();
    client.await_peer_fin();
    lab.await_state(&server, State::FinWait2);
    let_pass(IDLE);
    client.send(200);
    client.await_gone();

    lab.close_of(&server).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    lab.reset_of(&server).shows(&json!({"cause": "time_wait_data"}));
    let verdict = lab.close_of(&client);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "linger": null, "half_closed": {"local_ms": null},
        "bytes": Bytes { unacked: 200, after_peer_fin: 200, ..Bytes::NONE },
        "reset": reset_received_in("CLOSE_WAIT"), "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", IDLE_MS, 5000.0);
    (client, verdict)
}

/// The kernel counts the RST for the late data, and the client's connection that it ended.
const STALE: Counters = Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE };

/// D1. The client writes a request into the stale connection, then reads. The write succeeds, and the read returns the
/// end.
fn pool_writes_after_server_close(lab: &Lab) -> Counters {
    let (client, _) = write_into_stale_connection(lab);
    // Not an error on Linux: the FIN came before the RST, and read() sees it first.
    client.receive_to_end(0);
    client.close();
    STALE
}

/// D2. As [`pool_writes_after_server_close`], with a second write: EPIPE, with the id of the earlier verdict.
fn pool_writes_twice_after_close(lab: &Lab) -> Counters {
    let (client, verdict) = write_into_stale_connection(lab);
    client.send_fails(Errno::EPIPE);
    let error = lab.write_error_of(&client);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "write_after_peer_fin",
    }));
    error.lasted("/since_peer_fin_ms", IDLE_MS, 10_000.0).lasted("/since_reset_ms", 0.0, 10_000.0);
    client.close();
    STALE
}

/// D3. The server shuts down its write side instead. It still receives the request, and nothing is lost.
fn pool_writes_after_server_shutdown(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    server.shutdown(How::Write);
    client.await_peer_fin();
    let_pass(IDLE);
    client.send(200);
    server.receive(200);
    client.await_acked();
    client.close();
    server.receive_to_end(0);

    let verdict = lab.close_of(&server);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "local", "local_action": "shutdown_write",
        "linger": null, "half_closed": {"remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/local_ms", IDLE_MS, 5000.0);
    closed_after_peer(lab, &client, 200);
    server.close();
    Counters::NONE
}

/// D4. The pool reads before it uses a connection, sees the end and closes. Nothing is lost.
fn pool_reads_before_use(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    server.close();
    client.await_peer_fin();
    lab.await_state(&server, State::FinWait2);
    let_pass(IDLE);
    client.receive_to_end(0);
    client.close();

    lab.close_of(&server).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "linger": linger_off(), "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    closed_after_peer(lab, &client, 0);
    Counters::NONE
}

/// D5. The pool neither reads nor closes. `observer half-closed`, run outside the namespace, lists the leaked
/// descriptor until it is closed.
fn pool_never_closes(lab: &Lab) -> Counters {
    let (client, server) = lab.pair();
    server.send(12);
    client.await_readable(12);
    let before_fin = Instant::now();
    server.close();
    client.await_peer_fin();
    lab.await_state(&server, State::FinWait2);
    let_pass(IDLE);

    let listed = half_closed(lab, &client);
    listed.shows(&json!({
        "side": "remote", "state": "CLOSE_WAIT", "process": {"pid": lab.cli.pid(), "comm": "cli", "uid": 0},
        "fd": descriptor(lab, &client), "holders": 1, "age": "at_least",
        "queued": {"unread": 12, "unacked": 0, "unsent": 0}, "end_read": false,
    }));
    // A close lower bound: it may be a few ticks of the kernel's clock too low.
    listed.lasted("/age_ms", IDLE_MS - 20.0, milliseconds_since(before_fin));
    half_closed(lab, &server).shows(&json!({
        "side": "local", "state": "FIN_WAIT2", "process": null, "fd": null, "holders": 0,
        "age": "unknown", "age_ms": null, "queued": {"unread": 0, "unacked": 0, "unsent": 0}, "end_read": null,
    }));

    client.receive_to_end(12);
    let_pass(IDLE);
    let later = half_closed(lab, &client);
    later.shows(&json!({"queued": {"unread": 0, "unacked": 0, "unsent": 0}, "end_read": true}));
    later.lasted("/age_ms", 2.0 * IDLE_MS - 20.0, milliseconds_since(before_fin));

    client.close();
    lab.close_of(&server).shows(&json!({"outcome": "graceful", "cause": "closed_first"}));
    closed_after_peer(lab, &client, 0);
    Counters::NONE
}

/// The line of `observer half-closed`, run in the host's namespace, for this end. Empty without an observer.
#[track_caller]
fn half_closed(lab: &Lab, end: &End<'_>) -> Report {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Report::new(None);
    }
    let binary = std::env::var_os("OBSERVER_TEST_BIN");
    let mut observer = Command::new(binary.unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_observer"))));
    observer.args(["half-closed", "--output", "json", "--local", &end.local.to_string()]);
    let output = observer.output().expect("running the observer");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "half-closed ended with {}: {said}", output.status);
    // Other tests use the same addresses.
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let ours: Vec<_> = lines.filter(|line| line["connection"]["netns"] == lab.netns.inode()).collect();
    let [line] = ours.as_slice() else { panic!("expected one line of {}, got {ours:?}\n{said}", end.local) };
    let report = Report::new(Some(line.clone()));
    report.shows(&json!({
        "schema": 1, "kind": "half_closed",
        "connection": {
            "local": {"addr": end.local.ip(), "port": end.local.port()},
            "remote": {"addr": end.remote.ip(), "port": end.remote.port()},
            "opened_by": "unknown",
        },
    }));
    report
}

/// The number of this end's descriptor in its actor, from /proc.
fn descriptor(lab: &Lab, end: &End<'_>) -> u64 {
    let table = lab.netns.proc_net(if end.local.is_ipv4() { "tcp" } else { "tcp6" });
    let port = format!(":{:04X}", end.local.port());
    let ours = |fields: &[&str]| fields.get(1).is_some_and(|local| local.ends_with(&port));
    let lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let inode = lines.filter(|fields| ours(fields)).find_map(|fields| fields.get(9).map(ToString::to_string));
    let socket = format!("socket:[{}]", inode.expect("a line of the socket"));
    let fds = fs::read_dir(format!("/proc/{}/fd", end.actor.pid())).expect("listing descriptors");
    let fd =
        fds.flatten().find(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == &*socket));
    let fd = fd.expect("a descriptor of the socket").file_name();
    fd.to_str().and_then(|number| number.parse().ok()).expect("a number")
}

fn milliseconds_since(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The client closed in good order after the idle time, with this many bytes written after the server's FIN.
fn closed_after_peer(lab: &Lab, client: &End<'_>, after_peer_fin: u64) {
    let verdict = lab.close_of(client);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", IDLE_MS, 5000.0);
}
