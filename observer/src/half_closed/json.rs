//! Half-closed connections → JSON lines, in the words of the promised schema.

use std::net::SocketAddr;

use serde::Serialize;

use super::{HalfClosed, summary};
use crate::{
    event::{Endpoints, Family, Side, Task},
    owner::Cgroups,
    publish::json::SCHEMA,
    source::clock::ClockOffset,
};

#[derive(Serialize)]
struct Line {
    schema: u32,
    kind: &'static str,
    /// When the host was looked at.
    time: String,
    side: Side,
    state: &'static str,
    connection: Connection,
    /// The first of the holders.
    process: Option<Process>,
    fd: Option<u32>,
    /// Processes that hold the socket.
    holders: usize,
    age_ms: Option<f64>,
    age: &'static str,
    queued: Queued,
    /// The application has read up to the peer's FIN.
    end_read: Option<bool>,
    summary: String,
}

#[derive(Serialize)]
struct Connection {
    family: Family,
    local: Address,
    remote: Address,
    netns: u32,
    opened_by: &'static str,
}

#[derive(Serialize)]
struct Address {
    addr: String,
    port: u16,
}

#[derive(Serialize)]
struct Process {
    pid: u32,
    comm: String,
    uid: u32,
    cgroup: Option<String>,
    unit: Option<String>,
    container: Option<String>,
}

#[derive(Serialize)]
struct Queued {
    unread: u32,
    unacked: u32,
    unsent: u32,
}

/// One connection as one line, without its newline. `time` is the snapshot's, as people write it.
#[must_use]
pub fn line(socket: &HalfClosed, time: &str, cgroups: &mut Cgroups) -> String {
    let line = Line {
        schema: SCHEMA,
        kind: "half_closed",
        time: time.to_owned(),
        side: socket.side,
        state: socket.state.name(),
        connection: connection(&socket.endpoints),
        process: socket.holders.first().map(|holder| process(&holder.task, cgroups)),
        fd: socket.holders.first().map(|holder| holder.fd),
        holders: socket.holders.len(),
        age_ms: socket.age.ns().map(milliseconds),
        age: socket.age.word(),
        queued: Queued {
            unread: socket.queued.unread,
            unacked: socket.queued.unacked,
            unsent: socket.queued.unsent,
        },
        end_read: socket.end_read,
        summary: summary::of(socket),
    };
    // Every key is a string and every float finite, so there is nothing that JSON could not say.
    serde_json::to_string(&line).unwrap_or_default()
}

/// The time of a snapshot, as [`line()`] wants it.
#[must_use]
pub fn time(ns: u64) -> String {
    ClockOffset::now().rfc3339(ns)
}

fn connection(endpoints: &Endpoints) -> Connection {
    let address = |end: SocketAddr| Address { addr: end.ip().to_string(), port: end.port() };
    Connection {
        family: endpoints.family(),
        local: address(endpoints.local),
        remote: address(endpoints.remote),
        netns: endpoints.netns,
        // The kernel's table does not say.
        opened_by: "unknown",
    }
}

fn process(task: &Task, cgroups: &mut Cgroups) -> Process {
    let cgroup = cgroups.get(task.cgroup);
    let cgroup = cgroup.as_deref();
    Process {
        pid: task.pid,
        comm: task.comm.to_string(),
        uid: task.uid,
        cgroup: cgroup.map(|cgroup| cgroup.path.clone()),
        unit: cgroup.and_then(|cgroup| cgroup.unit.clone()),
        container: cgroup.and_then(|cgroup| cgroup.container.clone()),
    }
}

/// Milliseconds with microsecond digits, as in every other line.
#[expect(clippy::cast_precision_loss, reason = "microseconds of any age fit in 52 bits")]
fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}
