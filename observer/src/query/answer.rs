//! Requests → answers, from the state. No I/O.

use super::{
    EndLine, FinRow, FinsLine, HistoryRange, List, Request, TopLine, TopRow, fins,
    state::QueryState,
    status::{StatusLine, own_cost},
};
use crate::{
    filter::Filter,
    history::{
        Selection,
        pack::{PackedReport, ReportKind},
        top::{By, Top},
    },
    render::{
        json::{self, SCHEMA},
        ladder,
    },
    source::clock::{ClockOffset, monotonic_ns},
};

/// An answer. Many reports are only selected here, and rendered part by part while they are written.
pub(super) enum Reply {
    /// All lines, the end included.
    One(String),
    /// Reports, and then either the end or those that follow.
    Many { kind: ReportKind, records: Vec<PackedReport>, end: String, follow: Option<Box<Selection>> },
}

pub(super) fn answer(state: &mut QueryState, request: Request) -> Reply {
    match request {
        Request::Closes(list) => many(state, ReportKind::Close, list),
        Request::Errors(list) => many(state, ReportKind::WriteError, list),
        Request::Top { by, filter, since_ns, limit } => {
            let wanted = selection(state.clock, filter, since_ns);
            one(&top(state, by, &wanted, limit))
        }
        Request::Explain { which } => match state.history.story(&which) {
            Some(found) => one(&ladder::explain(&found, state.clock, &mut state.history.cgroups)),
            None => Reply::One(end(0, false, Some(range(state, ReportKind::Close)))),
        },
        Request::Status => one(&status(state)),
        Request::Fins => one(&fins_line(state)),
    }
}

fn one(value: &impl serde::Serialize) -> Reply {
    Reply::One(text(value) + "\n" + &end(1, false, None))
}

fn many(state: &mut QueryState, kind: ReportKind, list: List) -> Reply {
    let List { filter, since_ns, limit, follow } = list;
    let wanted = selection(state.clock, filter, since_ns);
    let (records, more) = state.history.newest(kind, &wanted, limit);
    let end = end(records.len(), more, Some(range(state, kind)));
    Reply::Many { kind, records, end, follow: follow.then(|| Box::new(wanted)) }
}

fn selection(clock: ClockOffset, filter: Filter, since_ns: Option<i64>) -> Selection {
    let since_ns = since_ns.map_or(0, |since| clock.monotonic(since));
    Selection { filter, since_ns }
}

/// How far back the history of one kind reaches: to the start of the daemon, or to the oldest report that it still has.
fn range(state: &QueryState, kind: ReportKind) -> HistoryRange {
    let (oldest_ns, pushed_out) = state.history.range(kind);
    let start_ns = if pushed_out.total() == 0 {
        state.status.started_ns
    } else {
        oldest_ns.unwrap_or_else(monotonic_ns)
    };
    HistoryRange { start: state.clock.rfc3339(start_ns), pushed_out }
}

fn top(state: &mut QueryState, by: By, wanted: &Selection, limit: usize) -> TopLine {
    let clock = state.clock;
    let Top { closes, write_errors, groups, rows } = state.history.top(by, wanted, limit);
    let rows = rows.into_iter().map(|row| TopRow { last: clock.rfc3339(row.last_ns), row });
    let kind = "top".to_owned();
    TopLine { schema: SCHEMA, kind, by, closes, write_errors, groups, rows: rows.collect() }
}

fn status(state: &QueryState) -> StatusLine {
    let now = monotonic_ns();
    let ms_since = |ns: u64| now.saturating_sub(ns) / 1_000_000;
    let pulse_age_ms = ms_since(state.status.ns);
    let last_loss_ms = state.losses.last_ms(now);
    let problems = state.status.problems(pulse_age_ms, last_loss_ms);
    let (cpu_ms, resident_bytes) = own_cost().unzip();
    let history = state.history.usage();
    StatusLine {
        schema: SCHEMA,
        kind: "status".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        health: if problems.is_empty() { "ok" } else { "degraded" }.to_owned(),
        problems,
        running_ms: ms_since(state.status.started_ns),
        pulse: state.status.clone(),
        pulse_age_ms,
        last_loss_ms,
        cpu_ms,
        resident_bytes,
        history_oldest_ms: history.oldest_ns.map(ms_since),
        history,
    }
}

fn fins_line(state: &QueryState) -> FinsLine {
    let mut fins = state.history.fins(fins::oldest_ns(monotonic_ns()), |_| true);
    // These replace the history's: a connection without a verdict is newer than one with a verdict.
    fins.extend(state.fins.iter().map(|(endpoints, fin)| (*endpoints, *fin)));
    let rows = fins.into_iter().map(|(endpoints, fin)| FinRow { endpoints, fin });
    FinsLine { schema: SCHEMA, kind: "fins".to_owned(), fins: rows.collect() }
}

/// Reports as JSON lines, newlines included. Reports that cannot be unpacked are left out.
pub(super) fn report_lines(state: &mut QueryState, reports: &[PackedReport]) -> String {
    let QueryState { history, clock, .. } = state;
    let lines = reports.iter().filter_map(|packed| {
        let report = packed.report()?;
        Some(json::line(&report, *clock, &mut history.cgroups) + "\n")
    });
    lines.collect()
}

/// The last line of an answer, newline included.
fn end(told: usize, more: bool, history: Option<HistoryRange>) -> String {
    text(&EndLine { schema: SCHEMA, kind: "end".to_owned(), told, more, history }) + "\n"
}

/// A line that says why there is no answer, newline included.
pub(super) fn error(message: &str) -> String {
    serde_json::json!({ "schema": SCHEMA, "kind": "error", "message": message }).to_string() + "\n"
}

/// A line that says how many reports a slow follower has missed, newline included.
pub(super) fn missed(count: u64) -> String {
    serde_json::json!({ "schema": SCHEMA, "kind": "missed", "count": count }).to_string() + "\n"
}

fn text(value: &impl serde::Serialize) -> String {
    // This cannot fail: every key is a string, and every float is finite.
    serde_json::to_string(value).unwrap_or_default()
}
