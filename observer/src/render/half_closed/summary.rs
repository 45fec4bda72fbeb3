//! A half-closed connection → one sentence.

use crate::{
    event::State,
    half_closed::{AcceptQueue, Age, HalfClosed, Owner},
    render::sentence::{bytes, span},
    words::Side,
};

/// The sentence, without a full stop.
pub(super) fn of(socket: &HalfClosed) -> String {
    let sentence = match (socket.side, socket.accept_queue) {
        (Side::Remote, Some(queue)) => unaccepted(socket, queue),
        (Side::Remote, None) => format!("the peer closed{}; {}", ago(socket.age), not_closed(socket)),
        (Side::Local, _) if socket.fin_sent == Some(false) => {
            return format!("{}; {}", closed(socket), fin_waits(socket));
        }
        (Side::Local, _) => format!("{}; {}", closed(socket), peer(socket)),
    };
    match socket.queued.outgoing() {
        // Not for an unsent FIN: its sentence above has these bytes.
        outgoing if outgoing > 0 => format!("{sentence}; {} of ours not acknowledged", bytes(outgoing)),
        _ => sentence,
    }
}

/// A connection that no process has accepted: its accept queue, and the time in it.
fn unaccepted(socket: &HalfClosed, queue: AcceptQueue) -> String {
    let (of, unknown) = match who(socket) {
        Some(who) => (format!(" of {who}"), ""),
        None => (String::new(), "; the listening process was not found"),
    };
    let waited = queue.waited_ns.map_or(String::new(), |ns| format!(" for {}", span(ns)));
    let unread = match socket.queued.unread {
        0 => String::new(),
        unread => format!("; {} unread", bytes(unread)),
    };
    format!("in the accept queue{of}{waited}{unknown}; the peer closed{}{unread}", ago(socket.age))
}

/// The calls that the process has still to make.
fn not_closed(socket: &HalfClosed) -> String {
    let Some(who) = who(socket) else { return "the process that holds the socket was not found".to_owned() };
    match (socket.end_read, socket.queued.unread) {
        (Some(true), _) => format!("{who} has read to the end and not closed"),
        (_, 0) => format!("{who} has neither read the end nor closed"),
        (_, unread) => format!("{who} has not, and left {} unread", bytes(unread)),
    }
}

/// How this host closed.
fn closed(socket: &HalfClosed) -> String {
    let ago = ago(socket.age);
    match (who(socket), &socket.owner, socket.inode) {
        (Some(who), Owner::Closer(_), _) => format!("{who} closed{ago}"),
        (Some(who), ..) => format!("{who} shut down its writing side{ago}"),
        (None, _, 0) => format!("this host closed{ago}, and no process holds the socket any more"),
        (None, ..) => format!("this host shut down its writing side{ago}"),
    }
}

/// Why the FIN is not on the wire yet.
fn fin_waits(socket: &HalfClosed) -> String {
    match socket.queued.outgoing() {
        0 => "its FIN has not left".to_owned(),
        1 => "its FIN has not left: 1 byte before it is unsent or unacknowledged".to_owned(),
        outgoing => {
            format!("its FIN has not left: {} before it are unsent or unacknowledged", bytes(outgoing))
        }
    }
}

const fn peer(socket: &HalfClosed) -> &'static str {
    match socket.state {
        State::FinWait1 => "the peer has not acknowledged the FIN",
        _ => "the peer acknowledged the FIN and has not closed",
    }
}

fn who(socket: &HalfClosed) -> Option<String> {
    let task = socket.owner.task()?;
    let others = match socket.owner.others() {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    Some(format!("{}[{}]{others}", task.comm, task.pid))
}

fn ago(age: Age) -> String {
    match age {
        Age::Exact(ns) => format!(" {} ago", span(ns)),
        Age::AtLeast(ns) => format!(" at least {} ago", span(ns)),
        Age::Unknown => String::new(),
    }
}
