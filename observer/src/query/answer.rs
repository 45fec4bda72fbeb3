//! Questions → answers, from the history. No I/O.

use super::{
    EndLine, FinRow, FinsLine, List, Request, TopLine, TopRow, fins,
    server::ServerState,
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

/// What to write to whoever asked.
pub(super) enum Reply {
    /// One object, and the end; None when there is no such thing.
    One(Option<String>),
    /// These; then the end, or those to come.
    Many { kind: ReportKind, records: Vec<PackedReport>, more: bool, follow: Option<Box<Selection>> },
}

/// Looks it up. What is many is only found here, and written later, bit by bit.
pub(super) fn answer(state: &mut ServerState, ask: Request) -> Reply {
    match ask {
        Request::Closes(list) => many(state, ReportKind::Close, list),
        Request::Errors(list) => many(state, ReportKind::WriteError, list),
        Request::Top { by, filter, since_ns, limit } => {
            Reply::One(Some(top(state, by, &wanted(state.clock, filter, since_ns), limit)))
        }
        Request::Explain { which } => Reply::One(
            state
                .history
                .story(&which)
                .map(|found| text(&ladder::explain(&found, state.clock, &mut state.history.cgroups))),
        ),
        Request::Status => Reply::One(Some(text(&status(state)))),
        Request::Fins => Reply::One(Some(text(&fins_line(state)))),
    }
}

fn many(state: &mut ServerState, kind: ReportKind, list: List) -> Reply {
    let List { filter, since_ns, limit, follow } = list;
    let wanted = wanted(state.clock, filter, since_ns);
    let (records, more) = state.history.newest(kind, &wanted, limit);
    Reply::Many { kind, records, more, follow: follow.then(|| Box::new(wanted)) }
}

fn wanted(clock: ClockOffset, filter: Filter, since_ns: Option<i64>) -> Selection {
    let since_ns = since_ns.map_or(0, |since| clock.monotonic(since));
    Selection { filter, since_ns }
}

fn top(state: &mut ServerState, by: By, wanted: &Selection, limit: usize) -> String {
    let clock = state.clock;
    let Top { closes, write_errors, groups, rows } = state.history.top(by, wanted, limit);
    let rows = rows.into_iter().map(|row| TopRow { last: clock.rfc3339(row.last_ns), row });
    let kind = "top".to_owned();
    let line = TopLine { schema: SCHEMA, kind, by, closes, write_errors, groups, rows: rows.collect() };
    text(&line)
}

fn status(state: &ServerState) -> StatusLine {
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

fn fins_line(state: &ServerState) -> FinsLine {
    let mut fins = state.history.fins(fins::since(monotonic_ns()), |_| true);
    // A story is of now, a verdict of a connection that may have had a successor.
    fins.extend(state.fins.iter().map(|(endpoints, fin)| (*endpoints, *fin)));
    let rows = fins.into_iter().map(|(endpoints, fin)| FinRow { endpoints, fin });
    FinsLine { schema: SCHEMA, kind: "fins".to_owned(), fins: rows.collect() }
}

/// A record as the line that it is everywhere, newline included; None for one that cannot be unpacked.
pub(super) fn record_line(state: &mut ServerState, record: &PackedReport) -> Option<String> {
    let report = record.report()?;
    Some(json::line(&report, state.clock, &mut state.history.cgroups) + "\n")
}

/// The line that ends an answer, newline included.
pub(super) fn end(told: usize, more: bool) -> String {
    text(&EndLine { schema: SCHEMA, kind: "end".to_owned(), told, more }) + "\n"
}

/// A line that says why there is no answer, newline included.
pub(super) fn error(message: &str) -> String {
    serde_json::json!({ "schema": SCHEMA, "kind": "error", "message": message }).to_string() + "\n"
}

/// A line that says what a follower who reads too slowly has missed, newline included.
pub(super) fn missed(count: u64) -> String {
    serde_json::json!({ "schema": SCHEMA, "kind": "missed", "count": count }).to_string() + "\n"
}

fn text(value: &impl serde::Serialize) -> String {
    // Every key is a string and every float finite, so there is nothing that JSON could not say.
    serde_json::to_string(value).unwrap_or_default()
}
