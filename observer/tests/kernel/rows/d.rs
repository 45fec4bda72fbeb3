//! The stale pooled connection.

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

/// How long the connection lies in the pool after the server has closed it.
const IDLE: Duration = Duration::from_millis(300);
/// The same, less what a timer may be early, as the observer gives times.
const IDLE_MS: f64 = 299.0;

/// The client's side of a connection that the server closed while it was idle, into which a request of 200 bytes
/// was written: with the verdict, after that on the server has been looked at.
fn stale(lab: &Lab) -> (End<'_>, Report) {
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

/// What the kernel counts for it: the reset of the late data, and the client's connection ended by it.
const STALE: Counters = Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE };

/// The client writes a request into the stale connection and reads: the write succeeds, and the read says "end".
pub(crate) fn d1(lab: &Lab) -> Counters {
    let (client, _) = stale(lab);
    // Not an error on Linux: the FIN came before the reset, and a read sees that first.
    client.receive_to_end(0);
    client.close();
    STALE
}

/// As D1, with a second write: EPIPE, which belongs to the verdict that came before.
pub(crate) fn d2(lab: &Lab) -> Counters {
    let (client, verdict) = stale(lab);
    client.send_fails(Errno::EPIPE);
    let error = lab.write_error_of(&client);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "write_after_peer_fin",
    }));
    error.lasted("/since_peer_fin_ms", IDLE_MS, 10_000.0).lasted("/since_reset_ms", 0.0, 10_000.0);
    client.close();
    STALE
}

/// The server shuts down its write side instead: it still takes the request, and nothing is lost.
pub(crate) fn d3(lab: &Lab) -> Counters {
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

/// The pool looks before it uses a connection, sees the end and closes: nothing is lost.
pub(crate) fn d4(lab: &Lab) -> Counters {
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

/// The pool never looks and never closes: `observer half-closed` finds the forgotten descriptor, from outside the
/// namespace, until it is closed.
pub(crate) fn d5(lab: &Lab) -> Counters {
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
    // A lower bound that is close: a few ticks of the kernel's clock.
    listed.lasted("/age_ms", IDLE_MS - 20.0, milliseconds(before_fin));
    half_closed(lab, &server).shows(&json!({
        "side": "local", "state": "FIN_WAIT2", "process": null, "fd": null, "holders": 0,
        "age": "unknown", "age_ms": null, "queued": {"unread": 0, "unacked": 0, "unsent": 0}, "end_read": null,
    }));

    client.receive_to_end(12);
    let_pass(IDLE);
    let later = half_closed(lab, &client);
    later.shows(&json!({"queued": {"unread": 0, "unacked": 0, "unsent": 0}, "end_read": true}));
    later.lasted("/age_ms", 2.0 * IDLE_MS - 20.0, milliseconds(before_fin));

    client.close();
    lab.close_of(&server).shows(&json!({"outcome": "graceful", "cause": "closed_first"}));
    closed_after_peer(lab, &client, 0);
    Counters::NONE
}

/// What `observer half-closed`, started here in the host's namespace, says of this end. Empty without an observer.
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

/// The number under which this end's actor has it, as /proc tells.
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

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The client closed in good order after the idle time, with so many bytes written since the server's FIN.
fn closed_after_peer(lab: &Lab, client: &End<'_>, after_peer_fin: u64) {
    let verdict = lab.close_of(client);
    verdict.shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "linger": linger_off(), "half_closed": {"local_ms": null},
        "bytes": Bytes { after_peer_fin, ..Bytes::NONE }, "reset": null, "write_errors": {},
    }));
    verdict.lasted("/half_closed/remote_ms", IDLE_MS, 5000.0);
}
