//! Reports → JSON lines, the promised schema (version 1: fields may be added, never renamed or removed).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{errno, sentence};
use crate::{
    classify::verdict::{Evidence, Linger, Missing, Outcome},
    event::{Endpoints, Family, Side, Task},
    owner::Cgroups,
    report::{Report, StrayReset, WriteFailure},
    source::clock::ClockOffset,
    story::LocalAction,
};

/// Version of the schema.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    kind: &'a str,
    #[serde(flatten)]
    body: Body<'a>,
    summary: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Close(Box<Close<'a>>),
    WriteError(WriteErrorLine),
    Reset(ResetLine<'a>),
    LingerExpired(LingerExpiredLine<'a>),
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the schema's names")]
struct Close<'a> {
    id: &'a str,
    time: String,
    connection: Connection,
    process: Option<Process>,
    opened_by_process: Option<Process>,
    outcome: &'a str,
    cause: &'a str,
    first_close: &'a str,
    local_action: Option<&'a str>,
    fin: Option<FinLine>,
    linger: Option<LingerLine>,
    half_closed: HalfClosed,
    bytes: Bytes,
    reset: Option<Reset<'a>>,
    error: Option<&'static str>,
    write_errors: BTreeMap<&'static str, u32>,
    duration_ms: Option<f64>,
    evidence: &'a str,
    missing: Vec<&'static str>,
}

#[derive(Serialize)]
struct WriteErrorLine {
    time: String,
    close_id: Option<String>,
    connection: Connection,
    process: Option<Process>,
    errno: &'static str,
    sigpipe: bool,
    cause: &'static str,
    since_peer_fin_ms: Option<f64>,
    since_reset_ms: Option<f64>,
}

#[derive(Serialize)]
struct ResetLine<'a> {
    time: String,
    connection: Connection,
    cause: &'static str,
    kernel_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct LingerExpiredLine<'a> {
    time: String,
    close_id: &'a str,
    connection: Connection,
    process: Option<Process>,
    configured_ms: u64,
}

/// Both ends, as in every line.
#[derive(Serialize)]
pub(crate) struct Connection {
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

/// A process, as in every line.
#[derive(Serialize)]
pub(crate) struct Process {
    pid: u32,
    comm: String,
    uid: u32,
    cgroup: Option<String>,
    unit: Option<String>,
    container: Option<String>,
}

#[derive(Serialize)]
struct LingerLine {
    mode: &'static str,
    configured_ms: Option<u64>,
    waited_ms: Option<f64>,
    result: Option<&'static str>,
}

#[derive(Serialize)]
struct HalfClosed {
    local_ms: Option<f64>,
    remote_ms: Option<f64>,
}

#[derive(Serialize)]
struct Bytes {
    unread: Option<u32>,
    unacked: Option<u32>,
    unsent: Option<u32>,
    after_peer_fin: Option<u32>,
}

/// What became of our FIN.
#[derive(Serialize)]
struct FinLine {
    sent: Option<bool>,
    acked_ms: Option<f64>,
}

#[derive(Serialize)]
struct Reset<'a> {
    direction: &'static str,
    in_state: &'static str,
    kernel_reason: Option<&'a str>,
}

/// One report as one line, without its newline.
#[must_use]
pub fn line(report: &Report, clock: ClockOffset, cgroups: &mut Cgroups) -> String {
    let (kind, body) = match report {
        Report::Close(verdict) => {
            let close = Close {
                id: &verdict.id,
                time: clock.rfc3339(verdict.ns),
                connection: connection(&verdict.endpoints, verdict.opened_by),
                process: verdict.process.map(|task| process(&task, cgroups)),
                opened_by_process: verdict.opener.map(|task| process(&task, cgroups)),
                outcome: Outcome::word(verdict.outcome),
                cause: verdict.cause.word(),
                first_close: verdict.first_close.word(),
                local_action: verdict
                    .action_known
                    .then(|| verdict.local_action.map_or("none", LocalAction::word)),
                fin: verdict
                    .fin
                    .map(|fin| FinLine { sent: fin.sent, acked_ms: fin.acked_ns.map(milliseconds) }),
                linger: verdict.linger.map(linger),
                half_closed: HalfClosed {
                    local_ms: verdict.half_closed.local_ns.map(milliseconds),
                    remote_ms: verdict.half_closed.remote_ns.map(milliseconds),
                },
                bytes: Bytes {
                    unread: verdict.bytes.unread,
                    unacked: verdict.bytes.unacked,
                    unsent: verdict.bytes.unsent,
                    after_peer_fin: verdict.bytes.after_peer_fin,
                },
                reset: verdict.reset.as_ref().map(|reset| Reset {
                    direction: match reset.direction {
                        Side::Local => "sent",
                        Side::Remote => "received",
                    },
                    in_state: reset.in_state.name(),
                    kernel_reason: reset.kernel_reason.as_deref(),
                }),
                error: errno::known(verdict.error),
                write_errors: errors_by_name(&verdict.write_errors),
                duration_ms: verdict.duration_ns.map(milliseconds),
                evidence: Evidence::word(verdict.evidence),
                missing: verdict.missing.iter().copied().map(Missing::word).collect(),
            };
            ("close", Body::Close(Box::new(close)))
        }
        Report::WriteError(failure) => {
            ("write_error", Body::WriteError(write_error(failure, clock, cgroups)))
        }
        Report::StrayReset(reset) => ("reset", Body::Reset(stray(reset, clock))),
        Report::LingerExpired(expired) => {
            let line = LingerExpiredLine {
                time: clock.rfc3339(expired.ns),
                close_id: &expired.close_id,
                connection: connection(&expired.endpoints, expired.opened_by),
                process: expired.process.map(|task| process(&task, cgroups)),
                configured_ms: expired.configured_ms,
            };
            ("linger_expired", Body::LingerExpired(line))
        }
    };
    let line = Line { schema: SCHEMA, kind, body, summary: sentence::of(report) };
    // Every key is a string and every float finite, so there is nothing that JSON could not say.
    serde_json::to_string(&line).unwrap_or_default()
}

fn write_error(failure: &WriteFailure, clock: ClockOffset, cgroups: &mut Cgroups) -> WriteErrorLine {
    WriteErrorLine {
        time: clock.rfc3339(failure.ns),
        close_id: failure.close_id.clone(),
        connection: connection(&failure.endpoints, failure.opened_by),
        process: failure.process.map(|task| process(&task, cgroups)),
        errno: errno::name(failure.errno),
        sigpipe: failure.sigpipe,
        cause: failure.verdict.cause.word(),
        since_peer_fin_ms: failure.verdict.since_peer_fin_ns.map(milliseconds),
        since_reset_ms: failure.verdict.since_reset_ns.map(milliseconds),
    }
}

fn stray(reset: &StrayReset, clock: ClockOffset) -> ResetLine<'_> {
    ResetLine {
        time: clock.rfc3339(reset.ns),
        connection: connection(&reset.endpoints, None),
        cause: reset.cause.word(),
        kernel_reason: reset.kernel_reason.as_deref(),
    }
}

pub(crate) fn connection(endpoints: &Endpoints, opened_by: Option<Side>) -> Connection {
    let address = |end: std::net::SocketAddr| Address { addr: end.ip().to_string(), port: end.port() };
    Connection {
        family: endpoints.family(),
        local: address(endpoints.local),
        remote: address(endpoints.remote),
        netns: endpoints.netns,
        opened_by: match opened_by {
            Some(Side::Local) => "local",
            Some(Side::Remote) => "remote",
            None => "unknown",
        },
    }
}

pub(crate) fn process(task: &Task, cgroups: &mut Cgroups) -> Process {
    let cgroup = cgroups.get(task.cgroup);
    Process {
        pid: task.pid,
        comm: task.comm.to_string(),
        uid: task.uid,
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
        unit: cgroup.as_ref().and_then(|cgroup| cgroup.unit.clone()),
        container: cgroup.as_ref().and_then(|cgroup| cgroup.container.clone()),
    }
}

fn linger(linger: Linger) -> LingerLine {
    LingerLine {
        mode: linger.mode.word(),
        configured_ms: linger.configured_ms,
        waited_ms: linger.waited_ns.map(milliseconds),
        result: linger.result.map(crate::classify::verdict::LingerResult::word),
    }
}

fn errors_by_name(errors: &BTreeMap<u32, u32>) -> BTreeMap<&'static str, u32> {
    let mut named = BTreeMap::new();
    for (number, count) in errors {
        *named.entry(errno::name(*number)).or_default() += count;
    }
    named
}

/// Milliseconds with microsecond digits: more would be noise.
#[expect(clippy::cast_precision_loss, reason = "microseconds of any duration here fit in 52 bits")]
pub(crate) fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}
