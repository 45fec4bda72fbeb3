//! Half-closed connections → a table for a terminal.

use crate::{
    half_closed::{Age, HalfClosed, Owner},
    render::{
        sentence::span,
        table::{self, Column, numbers, width_of, words},
    },
    words::Side,
};

/// The columns. Their names are those of `ss`.
const COLUMNS: [Column; 9] = [
    numbers("AGE"),
    words("SIDE"),
    words("STATE"),
    words("PROCESS"),
    numbers("FD"),
    numbers("RECV-Q"),
    numbers("SEND-Q"),
    words("LOCAL"),
    words("REMOTE"),
];

/// One way to make the table narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saving {
    /// Leave out a column.
    Column(&'static str),
    /// Show only the port of the local address.
    LocalAddress,
}

/// The parts that are left out on a narrow terminal, in this order. Age, process and peer always stay.
const SAVINGS: [Saving; 7] = [
    // The state implies the side.
    Saving::Column("SIDE"),
    Saving::LocalAddress,
    Saving::Column("SEND-Q"),
    Saving::Column("FD"),
    Saving::Column("RECV-Q"),
    Saving::Column("LOCAL"),
    Saving::Column("STATE"),
];

/// Header and one line per connection, none wider than `width`.
#[must_use]
pub fn lines(sockets: &[HalfClosed], width: Option<usize>) -> Vec<String> {
    let narrowest = SAVINGS.len();
    for savings in 0..narrowest {
        let lines = lines_with(sockets, &SAVINGS[..savings], None);
        if width.is_none_or(|width| lines.iter().all(|line| width_of(line) <= width)) {
            return lines;
        }
    }
    lines_with(sockets, &SAVINGS, width)
}

fn lines_with(sockets: &[HalfClosed], savings: &[Saving], width: Option<usize>) -> Vec<String> {
    let is_shown = |column: &Column| !savings.contains(&Saving::Column(column.name));
    let port_only = savings.contains(&Saving::LocalAddress);
    let columns: Vec<_> = COLUMNS.into_iter().filter(is_shown).collect();
    let rows = sockets.iter().map(|socket| {
        let cells = COLUMNS.iter().zip(row(socket, port_only));
        cells.filter(|(column, _)| is_shown(column)).map(|(_, cell)| cell).collect::<Vec<_>>()
    });
    table::lines(&columns, rows, width)
}

fn row(socket: &HalfClosed, port_only: bool) -> [String; COLUMNS.len()] {
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
    let local = socket.endpoints.local;
    [
        match socket.age {
            Age::Exact(ns) => span(ns),
            Age::AtLeast(ns) => format!("> {}", span(ns)),
            Age::Unknown => "?".to_owned(),
        },
        socket.side.word().to_owned(),
        socket.state.word().to_owned(),
        process,
        descriptor(socket),
        socket.queued.unread.to_string(),
        socket.queued.outgoing().to_string(),
        if port_only { format!(":{}", local.port()) } else { local.to_string() },
        socket.endpoints.remote.to_string(),
    ]
}

/// The file descriptor, or the reason why there is none.
fn descriptor(socket: &HalfClosed) -> String {
    match (socket.owner.holders().first(), &socket.owner) {
        (Some(holder), _) => holder.fd.to_string(),
        (None, _) if socket.accept_queue.is_some() => "queue".to_owned(),
        (None, Owner::Closer(_)) => "closed".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// The last line: totals of all connections, including those that are not `shown`.
#[must_use]
pub fn totals(sockets: &[HalfClosed], shown: usize) -> String {
    let sides = [Side::Remote, Side::Local].into_iter().filter_map(|side| {
        let of_side = || sockets.iter().filter(|socket| socket.side == side);
        let oldest = of_side().max_by_key(|socket| socket.age.ns())?.age;
        let oldest = match oldest {
            Age::Exact(ns) => format!(" (oldest {})", span(ns)),
            Age::AtLeast(ns) => format!(" (oldest at least {})", span(ns)),
            Age::Unknown => String::new(),
        };
        Some(format!("{} {}{oldest}", of_side().count(), side.word()))
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
