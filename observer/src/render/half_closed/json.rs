//! Half-closed connections → JSON lines (docs/json.md).

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
    /// Time of the snapshot; RFC 3339.
    time: String,
    side: Side,
    state: &'static str,
    connection: ConnectionJson,
    /// The first owner.
    process: Option<ProcessJson>,
    /// `holder`, `listener` or `closer`.
    process_role: Option<&'static str>,
    fd: Option<u32>,
    /// Number of processes that hold the socket.
    holders: usize,
    age_ms: Option<f64>,
    age: &'static str,
    queued: Queues,
    /// The process has read up to the peer's FIN.
    end_read: Option<bool>,
    /// The FIN of this host has been sent.
    fin_sent: Option<bool>,
    accept_queue: Option<AcceptQueueJson>,
    summary: String,
}

#[derive(Serialize)]
struct AcceptQueueJson {
    waited_ms: Option<f64>,
}

/// One connection as one line, without its newline. `time` is that of the snapshot, from [`time()`].
#[must_use]
pub fn line(socket: &HalfClosed, time: &str, cgroups: &mut Cgroups) -> String {
    let line = HalfClosedLine {
        schema: SCHEMA,
        kind: "half_closed",
        time: time.to_owned(),
        side: socket.side,
        state: socket.state.word(),
        // The kernel's socket table does not have it.
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
    // This cannot fail: every key is a string, and every float is finite.
    serde_json::to_string(&line).unwrap_or_default()
}

/// The time of a snapshot (`CLOCK_MONOTONIC`, ns) as RFC 3339, for [`line()`].
#[must_use]
pub fn time(ns: u64) -> String {
    ClockOffset::now().rfc3339(ns)
}
