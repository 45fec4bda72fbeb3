//! The story of one connection → a ladder: the local end on the left, the peer's on the right, packets between them.
//!
//! Only events that were seen have a row. If one end is on another host, its column is empty. A packet is a row of
//! the end that sent or received it.

use serde::{Deserialize, Serialize};

use super::{
    json::{CloseLine, ReportLine, SCHEMA, close_line, milliseconds},
    sentence::span,
    table::{cut, width_of},
};
use crate::{
    classify::{Cause, verdict::Verdict},
    event::State,
    history::{FoundStory, StoryWithErrors},
    owner::Cgroups,
    report::WriteFailure,
    source::clock::ClockOffset,
    story::step::{Act, Queues, Step, Who},
    words::{LocalAction, Side, errno},
};

/// A story as JSON: the close lines of both ends, and the rows of the ladder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explanation {
    /// Version of the schema.
    pub schema: u32,
    /// `story`.
    pub kind: String,
    /// The close of the local end.
    pub close: ReportLine<CloseLine>,
    /// The close of the other end, if that is on this host too.
    pub peer: Option<ReportLine<CloseLine>>,
    /// All events, in order of time.
    pub rows: Vec<Row>,
}

/// One row: an event at one end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Time since the first row, ms.
    pub ms: f64,
    /// The end that the row belongs to. Local is the end that the request named.
    pub side: Side,
    /// The packet that this end sent or received.
    pub packet: Option<Packet>,
    /// The call or the change of state.
    pub text: String,
    /// The process that made the call.
    pub process: Option<Who>,
    /// The bytes in the queues just before.
    pub queues: Queues,
}

/// A packet, seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Its flag.
    pub flag: Flag,
    /// True if this end sent it, false if it received it.
    pub sent: bool,
}

/// The flag of a packet that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are RFC 9293's")]
pub enum Flag {
    Syn,
    Ack,
    Fin,
    Rst,
}

impl Flag {
    const fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::Ack => "ACK",
            Self::Fin => "FIN",
            Self::Rst => "RST",
        }
    }
}

const fn sent(flag: Flag) -> Packet {
    Packet { flag, sent: true }
}

const fn received(flag: Flag) -> Packet {
    Packet { flag, sent: false }
}

/// Renders a story.
#[must_use]
pub fn explain(found: &FoundStory, clock: ClockOffset, cgroups: &mut Cgroups) -> Explanation {
    let FoundStory { story, peer } = found;
    let mut rows = side(story, Side::Local);
    if let Some(peer) = peer {
        rows.extend(side(peer, Side::Remote));
    }
    rows.sort_by_key(|(ns, _)| *ns);
    let first_ns = rows.first().map_or(0, |(ns, _)| *ns);
    let rows = rows.into_iter().map(|(ns, row)| Row { ms: milliseconds(ns - first_ns), ..row });
    let mut close = |of: &StoryWithErrors| close_line(&of.verdict, clock, cgroups);
    let (local, remote) = (close(story), peer.as_ref().map(close));
    Explanation { schema: SCHEMA, kind: "story".to_owned(), close: local, peer: remote, rows: rows.collect() }
}

/// The rows of one end, with their times.
fn side(story: &StoryWithErrors, side: Side) -> Vec<(u64, Row)> {
    let StoryWithErrors { verdict, errors } = story;
    let mut rows = Vec::new();
    if let (Some(ns), Some(by)) = (verdict.opened_ns(), verdict.head.opened_by) {
        let (packet, text) = match by {
            Side::Local => (sent(Flag::Syn), "connect()"),
            Side::Remote => (received(Flag::Syn), "handshake complete"),
        };
        rows.push((ns, Row { packet: Some(packet), ..text_row(side, text) }));
    }
    rows.extend(verdict.steps.iter().map(|step| (step.ns, step_row(step, side, verdict))));
    rows.extend(errors.iter().map(|failure| (failure.ns, error_row(failure, side))));
    rows
}

fn text_row(side: Side, text: impl Into<String>) -> Row {
    Row { ms: 0.0, side, packet: None, text: text.into(), process: None, queues: Queues::default() }
}

fn error_row(failure: &WriteFailure, side: Side) -> Row {
    let signal = if failure.sigpipe { " and SIGPIPE" } else { "" };
    let text = format!("send() fails: {}{signal}", errno::name(failure.errno));
    Row { process: failure.process.as_ref().map(Who::from), ..text_row(side, text) }
}

fn step_row(step: &Step, side: Side, verdict: &Verdict) -> Row {
    let row = match &step.act {
        Act::Moved { old, new, call, linger_ms, peer_fin, err, queues } => {
            let packet = packet_of_move(*old, *new, *peer_fin, *err);
            let call = call.map(|call| call_text(call, *linger_ms));
            let call = call.or_else(|| Some(abort_text(verdict.head.cause, *new)?.to_owned()));
            let change = format!("{old} → {new}");
            let text = call.as_ref().map_or_else(|| change.clone(), |call| format!("{call}: {change}"));
            // A packet is processed in whichever process it interrupts, so only a call names its process.
            let process = step.who.filter(|_| call.is_some());
            return Row { packet, process, queues: *queues, ..text_row(side, text) };
        }
        Act::ResetSent { reason } => {
            let text = reason.as_ref().map_or_else(String::new, |reason| format!("kernel's reason {reason}"));
            Row { packet: Some(sent(Flag::Rst)), ..text_row(side, text) }
        }
        Act::ResetReceived { state } => {
            Row { packet: Some(received(Flag::Rst)), ..text_row(side, format!("in {state}")) }
        }
        Act::Closed { call, unread } => {
            let queues = Queues { unread: *unread, ..Queues::default() };
            Row { queues, ..text_row(side, call_text(*call, None)) }
        }
        Act::ErrorReported { errno } => {
            text_row(side, format!("the kernel leaves {} for the process", errno::name(*errno)))
        }
        Act::Waited { acked: true } => text_row(side, "close() returns: all is acknowledged"),
        Act::Waited { acked: false } => text_row(side, "close() returns before all is acknowledged"),
        Act::Signalled { signal } => text_row(side, format!("signal {signal} ends the lingering")),
    };
    Row { process: step.who.filter(|_| matches!(step.act, Act::Closed { .. })), ..row }
}

/// The packet that caused a change of state, or that was sent with it.
const fn packet_of_move(old: State, new: State, peer_fin: bool, err: u32) -> Option<Packet> {
    use State::{Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv};
    match (old, new) {
        (Established | SynRecv, FinWait1) | (CloseWait, LastAck) => Some(sent(Flag::Fin)),
        (Established | SynRecv, CloseWait) | (FinWait1, Closing) => Some(received(Flag::Fin)),
        (FinWait1, FinWait2) => Some(received(Flag::Ack)),
        (FinWait2, Close) if peer_fin && err == 0 => Some(received(Flag::Fin)),
        (LastAck | Closing, Close) if err == 0 => Some(received(Flag::Ack)),
        _ => None,
    }
}

fn call_text(call: LocalAction, linger_ms: Option<u64>) -> String {
    let name = match call {
        LocalAction::Close => "close()",
        LocalAction::ShutdownRead => return "shutdown(SHUT_RD)".to_owned(),
        LocalAction::ShutdownWrite => return "shutdown(SHUT_WR)".to_owned(),
        LocalAction::ShutdownBoth => return "shutdown(SHUT_RDWR)".to_owned(),
        LocalAction::Disconnect => return "connect(AF_UNSPEC)".to_owned(),
        LocalAction::ProcessExit => "exit",
        LocalAction::Killed => "killed",
    };
    match linger_ms {
        None => name.to_owned(),
        Some(0) => format!("{name}, SO_LINGER {{on, 0}}"),
        Some(ms) => format!("{name}, SO_LINGER {}", span(ms.saturating_mul(1_000_000))),
    }
}

/// A call that ended the connection without closing its descriptor.
const fn abort_text(cause: Cause, new: State) -> Option<&'static str> {
    match (new, cause) {
        (State::Close, Cause::Disconnect) => Some("connect(AF_UNSPEC)"),
        (State::Close, Cause::SocketDestroyed) => Some("socket destroyed"),
        (State::Close, Cause::NeverAccepted) => Some("listener closed"),
        _ => None,
    }
}

const ARROW: usize = 17;
const TIME: usize = 11;
const GAP: &str = "  ";

/// The ladder as lines, none longer than `width` characters.
#[must_use]
pub fn draw(explanation: &Explanation, width: Option<usize>) -> Vec<String> {
    let Explanation { close, peer, .. } = explanation;
    let mut lines = vec![title(close)];
    lines.extend(wrapped(&close.summary, width));
    if let Some(peer) = peer {
        lines.push(String::new());
        lines.push(format!("{}  (the other end, on this host too)", title(peer)));
        lines.extend(wrapped(&peer.summary, width));
    }
    lines.push(String::new());

    let ends = &close.body.connection;
    let (local, remote) = (ends.local.to_string(), ends.remote.to_string());
    let rows: Vec<_> = explanation.rows.iter().map(|row| (row, row_text(row))).collect();
    let longest = |side: Side| {
        let texts = rows.iter().filter(|(row, _)| row.side == side).map(|(_, text)| width_of(text));
        texts.max().unwrap_or(0)
    };
    // The width for both columns. If both need more than half of it, each gets half.
    let room = width.map(|width| width.saturating_sub(TIME + ARROW + 3 * GAP.len()));
    let (left_wants, right_wants) =
        (longest(Side::Local).max(width_of(&local)), longest(Side::Remote).max(width_of(&remote)));
    let left = match room {
        Some(room) if left_wants + right_wants > room => {
            left_wants.min((room / 2).max(room.saturating_sub(right_wants)))
        }
        _ => left_wants,
    };
    let line = |time: &str, left_text: &str, arrow: &str, right_text: &str| {
        let left_text = cut(left_text, Some(left));
        let line = format!("{time:>TIME$}{GAP}{left_text:<left$}{GAP}{arrow:^ARROW$}{GAP}{right_text}");
        cut(line.trim_end(), width)
    };
    lines.push(line("ms", &local, "", &remote));
    for (row, text) in rows {
        let time = format!("{:.3}", row.ms);
        lines.push(match row.side {
            Side::Local => line(&time, &text, &arrow(row), ""),
            Side::Remote => line(&time, "", &arrow(row), &text),
        });
    }
    lines
}

/// The arrow of a packet, with the packet's name at the end that saw it.
fn arrow(row: &Row) -> String {
    let Some(Packet { flag, sent }) = row.packet else { return String::new() };
    let flag = flag.name();
    match (row.side, sent) {
        (Side::Local, true) => format!("{flag} ────────────▶"),
        (Side::Local, false) => format!("{flag} ◀────────────"),
        (Side::Remote, true) => format!("◀──────────── {flag}"),
        (Side::Remote, false) => format!("────────────▶ {flag}"),
    }
}

fn row_text(row: &Row) -> String {
    let mut text = row.text.clone();
    if let Some(Who { pid, comm }) = row.process {
        text = format!("{comm}[{pid}] {text}");
    }
    let Queues { unread, unacked, unsent } = row.queues;
    for (bytes, what) in [(unread, "unread"), (unacked, "unacked"), (unsent, "unsent")] {
        if bytes > 0 {
            text = format!("{text}, {bytes} {what}");
        }
    }
    text
}

fn title(close: &ReportLine<CloseLine>) -> String {
    let CloseLine { id, time, .. } = &close.body;
    format!("{}  {id}  {time}", close.body.verdict())
}

/// The text in lines of at most `width` columns, broken between words.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for next in text.split(' ') {
        let fits = |line: &String| width.is_none_or(|width| width_of(line) + 1 + width_of(next) <= width);
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => {
                line.push(' ');
                line.push_str(next);
            }
            None => lines.push(next.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
