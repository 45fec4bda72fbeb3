//! A half-closed connection → the one sentence a colleague would write.

use super::{Age, HalfClosed};
use crate::{
    event::{Side, State},
    publish::sentence::{bytes, span},
};

/// The sentence, without a full stop.
pub(super) fn of(socket: &HalfClosed) -> String {
    let sentence = match socket.side {
        Side::Remote => format!("the peer closed{}; {}", ago(socket.age), not_closed(socket)),
        Side::Local => format!("{}; {}", closed(socket), peer(socket)),
    };
    match socket.queued.outgoing() {
        // Without an acknowledged FIN that is no news.
        outgoing if outgoing > 0 => format!("{sentence}; {} of ours not acknowledged", bytes(outgoing)),
        _ => sentence,
    }
}

/// What this host did not do.
fn not_closed(socket: &HalfClosed) -> String {
    let Some(who) = who(socket) else {
        return match socket.inode {
            0 => "nobody has accepted the connection".to_owned(),
            _ => "the process that has the socket was not found".to_owned(),
        };
    };
    match (socket.end_read, socket.queued.unread) {
        (Some(true), _) => format!("{who} has read to the end and not closed"),
        (_, 0) => format!("{who} has neither read the end nor closed"),
        (_, unread) => format!("{who} has not, and left {} unread", bytes(unread)),
    }
}

/// What this host did.
fn closed(socket: &HalfClosed) -> String {
    let ago = ago(socket.age);
    match (who(socket), socket.inode) {
        (Some(who), _) => format!("{who} shut down its writing side{ago}"),
        (None, 0) => format!("this host closed{ago}, and no process has the socket any more"),
        (None, _) => format!("this host shut down its writing side{ago}"),
    }
}

const fn peer(socket: &HalfClosed) -> &'static str {
    match socket.state {
        State::FinWait1 => "the peer has not acknowledged that",
        _ => "the peer acknowledged that and has not closed",
    }
}

fn who(socket: &HalfClosed) -> Option<String> {
    let first = socket.holders.first()?;
    let others = match socket.holders.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    Some(format!("{}[{}]{others}", first.task.comm, first.task.pid))
}

fn ago(age: Age) -> String {
    match age {
        Age::Exact(ns) => format!(" {} ago", span(ns)),
        Age::AtLeast(ns) => format!(" at least {} ago", span(ns)),
        Age::Unknown => String::new(),
    }
}
