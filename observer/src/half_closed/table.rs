//! Half-closed connections → a table for a terminal.

use super::{Age, HalfClosed, Owner};
use crate::{event::Side, publish::sentence::span};

const COLUMNS: usize = 9;

/// As in `ss`, whose users know what a Recv-Q is.
const HEADER: [&str; COLUMNS] =
    ["AGE", "SIDE", "STATE", "PROCESS", "FD", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE"];

/// Numbers stand below one another by their ends.
const TO_THE_RIGHT: [bool; COLUMNS] = [true, false, false, false, true, true, true, false, false];

/// Columns that may be left out.
const SIDE: usize = 1;
const STATE: usize = 2;
const FD: usize = 4;
const RECEIVE_QUEUE: usize = 5;
const SEND_QUEUE: usize = 6;
const LOCAL: usize = 7;

/// What gives way where room is scarce, in this order; age, process and peer always stay.
const NARROWER: [Step; 7] = [
    // The state says it too.
    Step::Leave(SIDE),
    Step::OnlyPort,
    Step::Leave(SEND_QUEUE),
    Step::Leave(FD),
    Step::Leave(RECEIVE_QUEUE),
    Step::Leave(LOCAL),
    Step::Leave(STATE),
];

/// One way to make the table narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Leave out a column.
    Leave(usize),
    /// Of the local address show only the port.
    OnlyPort,
}

const GAP: &str = "  ";

/// Header and one line a connection, none longer than `width` characters.
#[must_use]
pub fn lines(sockets: &[HalfClosed], width: Option<usize>) -> Vec<String> {
    let mut rows = vec![HEADER.map(ToOwned::to_owned)];
    rows.extend(sockets.iter().map(row));
    let mut shown = [true; COLUMNS];
    for step in NARROWER {
        if width.is_none_or(|width| total(&widths(&rows), shown) <= width) {
            break;
        }
        match step {
            Step::Leave(column) => shown[column] = false,
            Step::OnlyPort => {
                for (row, socket) in rows.iter_mut().skip(1).zip(sockets) {
                    row[LOCAL] = format!(":{}", socket.endpoints.local.port());
                }
            }
        }
    }
    let widths = widths(&rows);
    rows.iter().map(|row| cut(line(row, &widths, shown), width)).collect()
}

fn widths(rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
}

/// Characters of a whole line.
fn total(widths: &[usize; COLUMNS], shown: [bool; COLUMNS]) -> usize {
    let widths = widths.iter().zip(shown).filter(|(_, shown)| *shown).map(|(width, _)| width + GAP.len());
    widths.sum::<usize>().saturating_sub(GAP.len())
}

fn row(socket: &HalfClosed) -> [String; COLUMNS] {
    let process = socket.owner.task().map_or_else(
        || "-".to_owned(),
        |task| {
            let others = match socket.owner.others() {
                0 => String::new(),
                others => format!("+{others}"),
            };
            format!("{}[{}]{others}", task.comm, task.pid)
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
        descriptor(socket),
        socket.queued.unread.to_string(),
        socket.queued.outgoing().to_string(),
        socket.endpoints.local.to_string(),
        socket.endpoints.remote.to_string(),
    ]
}

/// The descriptor, or why there is none.
fn descriptor(socket: &HalfClosed) -> String {
    match (socket.owner.holders().first(), &socket.owner) {
        (Some(holder), _) => holder.fd.to_string(),
        (None, _) if socket.accept_queue.is_some() => "queue".to_owned(),
        (None, Owner::Closer(_)) => "closed".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Remote => "remote",
    }
}

fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS], shown: [bool; COLUMNS]) -> String {
    let columns = (0..COLUMNS).filter(|&column| shown[column]);
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
