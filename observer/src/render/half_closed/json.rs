//! Half-closed connections → JSON lines, in the words of the promised schema.

use serde::Serialize;

use super::summary;
use crate::{
    half_closed::HalfClosed,
    owner::Cgroups,
    render::json::{ConnectionJson, ProcessJson, SCHEMA, connection, milliseconds, process},
    source::clock::ClockOffset,
    story::step::Queues,
    words::Side,
};

#[derive(Serialize)]
struct HalfClosedLine {
    schema: u32,
    kind: &'static str,
    /// When the host was looked at.
    time: String,
    side: Side,
    state: &'static str,
    connection: ConnectionJson,
    /// The first of the owners.
    process: Option<ProcessJson>,
    /// What makes it the owner.
    process_role: Option<&'static str>,
    fd: Option<u32>,
    /// Processes that hold the socket.
    holders: usize,
    age_ms: Option<f64>,
    age: &'static str,
    queued: Queues,
    /// The application has read up to the peer's FIN.
    end_read: Option<bool>,
    /// Our FIN has left this host.
    fin_sent: Option<bool>,
    accept_queue: Option<AcceptQueueJson>,
    summary: String,
}

#[derive(Serialize)]
struct AcceptQueueJson {
    waited_ms: Option<f64>,
}

/// One connection as one line, without its newline. `time` is the snapshot's, as people write it.
#[must_use]
pub fn line(socket: &HalfClosed, time: &str, cgroups: &mut Cgroups) -> String {
    let line = HalfClosedLine {
        schema: SCHEMA,
        kind: "half_closed",
        time: time.to_owned(),
        side: socket.side,
        state: socket.state.word(),
        // The kernel's table does not say who opened it.
        connection: connection(&socket.endpoints, None),
        process: socket.owner.task().map(|task| process(task, cgroups)),
        process_role: socket.owner.word(),
        fd: socket.owner.holders().first().map(|holder| holder.fd),
        holders: socket.owner.holders().len(),
        age_ms: socket.age.ns().map(milliseconds),
        age: socket.age.word(),
        queued: socket.queued,
        end_read: socket.end_read,
        fin_sent: socket.fin_sent,
        accept_queue: socket
            .accept_queue
            .map(|queue| AcceptQueueJson { waited_ms: queue.waited_ns.map(milliseconds) }),
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
