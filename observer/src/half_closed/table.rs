//! Half-closed connections → a table for a terminal.

use super::{Age, HalfClosed};
use crate::{event::Side, publish::sentence::span};

const COLUMNS: usize = 9;

/// As in `ss`, whose users know what a Recv-Q is.
const HEADER: [&str; COLUMNS] =
    ["AGE", "SIDE", "STATE", "PROCESS", "FD", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE"];

/// Numbers stand below one another by their ends.
const TO_THE_RIGHT: [bool; COLUMNS] = [true, false, false, false, true, true, true, false, false];

/// Left out first where room is scarce: the state says it too.
const SIDE: usize = 1;

const GAP: &str = "  ";

/// Header and one line a connection, none longer than `width` characters.
#[must_use]
pub fn lines(sockets: &[HalfClosed], width: Option<usize>) -> Vec<String> {
    let mut rows = vec![HEADER.map(ToOwned::to_owned)];
    rows.extend(sockets.iter().map(row));
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let all = widths.iter().sum::<usize>() + GAP.len() * (COLUMNS - 1);
    let without_side = width.is_some_and(|width| all > width);
    rows.iter().map(|row| cut(line(row, &widths, without_side), width)).collect()
}

fn row(socket: &HalfClosed) -> [String; COLUMNS] {
    let first = socket.holders.first();
    let process = first.map_or_else(
        || "-".to_owned(),
        |holder| {
            let others = socket.holders.len() - 1;
            let others = if others > 0 { format!("+{others}") } else { String::new() };
            format!("{}[{}]{others}", holder.task.comm, holder.task.pid)
        },
    );
    [
        match socket.age {
            Age::Exact(ns) => span(ns),
            Age::AtLeast(ns) => format!("> {}", span(ns)),
            Age::Unknown => "?".to_owned(),
        },
        side(socket.side).to_owned(),
        socket.state.name().to_owned(),
        process,
        first.map_or_else(|| "-".to_owned(), |holder| holder.fd.to_string()),
        socket.queued.unread.to_string(),
        socket.queued.outgoing().to_string(),
        socket.endpoints.local.to_string(),
        socket.endpoints.remote.to_string(),
    ]
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Remote => "remote",
    }
}

fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS], without_side: bool) -> String {
    let columns = (0..COLUMNS).filter(|&column| column != SIDE || !without_side);
    let cells = columns.map(|column| {
        let (text, width) = (&row[column], widths[column]);
        if TO_THE_RIGHT[column] { format!("{text:>width$}") } else { format!("{text:<width$}") }
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

fn cut(line: String, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line,
    }
}

/// The last line: all connections, also those that are not `shown`.
#[must_use]
pub fn totals(sockets: &[HalfClosed], shown: usize) -> String {
    let sides = [Side::Remote, Side::Local].into_iter().filter_map(|which| {
        let of_side = || sockets.iter().filter(|socket| socket.side == which);
        let oldest = of_side().max_by_key(|socket| socket.age.ns())?.age;
        let oldest = match oldest {
            Age::Exact(ns) => format!(" (oldest {})", span(ns)),
            Age::AtLeast(ns) => format!(" (oldest at least {})", span(ns)),
            Age::Unknown => String::new(),
        };
        Some(format!("{} {}{oldest}", of_side().count(), side(which)))
    });
    let sides = sides.collect::<Vec<_>>().join(", ");
    let unread: u64 = sockets.iter().map(|socket| u64::from(socket.queued.unread)).sum();
    let outgoing: u64 = sockets.iter().map(|socket| socket.queued.outgoing()).sum();
    let hidden = match sockets.len() - shown {
        0 => String::new(),
        hidden => format!("; {hidden} of them not shown"),
    };
    let count = sockets.len();
    format!("{count} half-closed: {sides}; {unread} bytes unread, {outgoing} not acknowledged{hidden}")
}
