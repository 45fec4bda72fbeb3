//! Half-closed connections → JSON lines, in the words of the promised schema.

use serde::Serialize;

use super::{HalfClosed, summary};
use crate::{
    event::Side,
    owner::Cgroups,
    publish::json::{Connection, Process, SCHEMA, connection, milliseconds, process},
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
    /// The first of the owners.
    process: Option<Process>,
    /// What makes it the owner.
    process_role: Option<&'static str>,
    fd: Option<u32>,
    /// Processes that hold the socket.
    holders: usize,
    age_ms: Option<f64>,
    age: &'static str,
    queued: Queued,
    /// The application has read up to the peer's FIN.
    end_read: Option<bool>,
    /// Our FIN has left this host.
    fin_sent: Option<bool>,
    accept_queue: Option<AcceptQueue>,
    summary: String,
}

#[derive(Serialize)]
struct AcceptQueue {
    waited_ms: Option<f64>,
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
        // The kernel's table does not say who opened it.
        connection: connection(&socket.endpoints, None),
        process: socket.owner.task().map(|task| process(task, cgroups)),
        process_role: socket.owner.word(),
        fd: socket.owner.holders().first().map(|holder| holder.fd),
        holders: socket.owner.holders().len(),
        age_ms: socket.age.ns().map(milliseconds),
        age: socket.age.word(),
        queued: Queued {
            unread: socket.queued.unread,
            unacked: socket.queued.unacked,
            unsent: socket.queued.unsent,
        },
        end_read: socket.end_read,
        fin_sent: socket.fin_sent,
        accept_queue: socket
            .accept_queue
            .map(|queue| AcceptQueue { waited_ms: queue.waited_ns.map(milliseconds) }),
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
