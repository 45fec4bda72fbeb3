//! Reports → JSON lines.

mod line;

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

pub use self::line::{
    AddressJson, BytesJson, CloseLine, ConnectionJson, FinJson, HalfClosedJson, LingerExpiredLine,
    LingerJson, ProcessJson, ReportLine, ResetJson, ResetLine, SCHEMA, WriteErrorLine,
};
use super::sentence;
use crate::{
    classify::verdict::{Linger, LingerResult, Reset, Verdict},
    event::{Endpoints, Family, Task},
    owner::Cgroups,
    report::{LingerExpired, Report, StrayReset, WriteFailure},
    source::clock::ClockOffset,
    words::{LocalAction, Side, errno},
};

/// One report as one line, without its newline.
#[must_use]
pub fn line(report: &Report, clock: ClockOffset, cgroups: &mut Cgroups) -> String {
    let summary = || sentence::of(report);
    match report {
        Report::Close(verdict) => text(&close_line(verdict, clock, cgroups)),
        Report::WriteError(failure) => {
            text(&report_line("write_error", write_error(failure, clock, cgroups), summary()))
        }
        Report::StrayReset(reset) => text(&report_line("reset", stray_reset(reset, clock), summary())),
        Report::LingerExpired(expired) => {
            text(&report_line("linger_expired", linger_expired(expired, clock, cgroups), summary()))
        }
    }
}

/// A verdict as a close line.
#[must_use]
pub fn close_line(verdict: &Verdict, clock: ClockOffset, cgroups: &mut Cgroups) -> ReportLine<CloseLine> {
    report_line("close", close(verdict, clock, cgroups), sentence::close(verdict))
}

fn report_line<B>(kind: &'static str, body: B, summary: String) -> ReportLine<B> {
    ReportLine { schema: SCHEMA, kind: Cow::Borrowed(kind), body, summary }
}

fn text<B: Serialize>(line: &ReportLine<B>) -> String {
    // This cannot fail: every key is a string, and every float is finite.
    serde_json::to_string(line).unwrap_or_default()
}

fn close(verdict: &Verdict, clock: ClockOffset, cgroups: &mut Cgroups) -> CloseLine {
    let local_action = || verdict.local_action.map_or("none", LocalAction::word);
    CloseLine {
        id: verdict.head.id.clone(),
        time: clock.rfc3339(verdict.head.ns),
        connection: connection(&verdict.head.endpoints, verdict.head.opened_by),
        process: verdict.head.process.map(|task| process(&task, cgroups)),
        opened_by_process: verdict.opener.map(|task| process(&task, cgroups)),
        outcome: verdict.head.outcome.word().into(),
        cause: verdict.head.cause.word().into(),
        first_close: verdict.first_close.word().into(),
        local_action: verdict.action_known.then(|| local_action().into()),
        fin: verdict.fin.map(|fin| FinJson { sent: fin.sent, acked_ms: fin.acked_ns.map(milliseconds) }),
        linger: verdict.linger.map(linger),
        half_closed: HalfClosedJson {
            local_ms: verdict.half_closed.local_ns.map(milliseconds),
            remote_ms: verdict.half_closed.remote_ns.map(milliseconds),
        },
        bytes: BytesJson {
            unread: verdict.head.bytes.unread,
            unacked: verdict.head.bytes.unacked,
            unsent: verdict.head.bytes.unsent,
            after_peer_fin: verdict.head.bytes.after_peer_fin,
        },
        reset: verdict.reset.as_ref().map(reset),
        error: errno::known(verdict.error).map(Cow::Borrowed),
        write_errors: errors_by_name(&verdict.head.write_errors),
        duration_ms: verdict.duration_ns.map(milliseconds),
        evidence: verdict.evidence.word().into(),
        missing: verdict.missing.iter().map(|missing| missing.word().into()).collect(),
    }
}

fn write_error(failure: &WriteFailure, clock: ClockOffset, cgroups: &mut Cgroups) -> WriteErrorLine {
    WriteErrorLine {
        time: clock.rfc3339(failure.ns),
        close_id: failure.close_id.clone(),
        connection: connection(&failure.endpoints, failure.opened_by),
        process: failure.process.map(|task| process(&task, cgroups)),
        errno: errno::name(failure.errno).into(),
        sigpipe: failure.sigpipe,
        cause: failure.verdict.cause.word().into(),
        since_peer_fin_ms: failure.verdict.since_peer_fin_ns.map(milliseconds),
        since_reset_ms: failure.verdict.since_reset_ns.map(milliseconds),
    }
}

fn stray_reset(reset: &StrayReset, clock: ClockOffset) -> ResetLine {
    ResetLine {
        time: clock.rfc3339(reset.ns),
        connection: connection(&reset.endpoints, None),
        cause: reset.cause.word().into(),
        kernel_reason: reset.kernel_reason.as_deref().map(ToOwned::to_owned),
    }
}

fn linger_expired(expired: &LingerExpired, clock: ClockOffset, cgroups: &mut Cgroups) -> LingerExpiredLine {
    LingerExpiredLine {
        time: clock.rfc3339(expired.ns),
        close_id: expired.close_id.clone(),
        connection: connection(&expired.endpoints, expired.opened_by),
        process: expired.process.map(|task| process(&task, cgroups)),
        configured_ms: expired.configured_ms,
    }
}

pub(crate) fn connection(endpoints: &Endpoints, opened_by: Option<Side>) -> ConnectionJson {
    let address = |end: std::net::SocketAddr| AddressJson { addr: end.ip().to_string(), port: end.port() };
    ConnectionJson {
        family: Family::word(endpoints.family()).into(),
        local: address(endpoints.local),
        remote: address(endpoints.remote),
        netns: endpoints.netns,
        opened_by: opened_by.map_or("unknown", Side::word).into(),
    }
}

pub(crate) fn process(task: &Task, cgroups: &mut Cgroups) -> ProcessJson {
    let cgroup = cgroups.get(task.cgroup);
    ProcessJson {
        pid: task.pid,
        comm: task.comm.to_string(),
        uid: task.uid,
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
        unit: cgroup.as_ref().and_then(|cgroup| cgroup.unit.clone()),
        container: cgroup.as_ref().and_then(|cgroup| cgroup.container.clone()),
    }
}

fn reset(reset: &Reset) -> ResetJson {
    let direction = match reset.direction {
        Side::Local => "sent",
        Side::Remote => "received",
    };
    ResetJson {
        direction: direction.into(),
        in_state: reset.in_state.word().into(),
        kernel_reason: reset.kernel_reason.as_deref().map(ToOwned::to_owned),
    }
}

fn linger(linger: Linger) -> LingerJson {
    LingerJson {
        mode: linger.mode.word().into(),
        configured_ms: linger.configured_ms,
        waited_ms: linger.waited_ns.map(milliseconds),
        result: linger.result.map(|result| LingerResult::word(result).into()),
    }
}

fn errors_by_name(errors: &BTreeMap<u32, u32>) -> BTreeMap<Cow<'static, str>, u32> {
    let mut named = BTreeMap::new();
    for (number, count) in errors {
        *named.entry(Cow::Borrowed(errno::name(*number))).or_default() += count;
    }
    named
}

/// Milliseconds with three decimals, since finer digits would be noise.
#[expect(clippy::cast_precision_loss, reason = "all durations here have fewer than 2^52 microseconds")]
pub(crate) fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}
