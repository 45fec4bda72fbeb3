//! The process of a verdict, and what it did.

use super::{
    Ruling,
    verdict::{Cause, Outcome},
};
use crate::{
    event::{State, Task},
    story::Story,
    words::{LocalAction, errno::ECONNABORTED},
};

/// The process whose call caused the end, or else the one that was last seen to hold the socket. None if neither is
/// known.
pub(super) fn process(story: &Story, ruling: &Ruling) -> Option<Task> {
    let closer = story.close_call.and_then(|call| call.task);
    let shutter = story.fin_sent.and_then(|fin| fin.task);
    // A process that destroys the socket from outside (`ss -K`, `tcp_abort()`) is no owner.
    let ender =
        story.end.filter(|end| ruling.cause != Cause::SocketDestroyed && end.socket.err != ECONNABORTED);
    let ender = ender.and_then(|end| end.task);
    let acted = match ruling.outcome {
        // The FIN ended the connection, whichever process closed the descriptor afterwards.
        Outcome::Graceful => [shutter, closer, ender],
        // The reset came from close() or connect(AF_UNSPEC), not from an earlier shutdown().
        _ if is_our_abort(story, ruling) => [closer, ender, shutter],
        // The peer or a timer ended it, or a record was lost: the holder comes before the process that called
        // shutdown().
        _ => [closer, story.holder, shutter.or(ender)],
    };
    let seen = acted.into_iter().flatten().find(|task| !task.kthread);
    seen.or(story.holder)
}

/// Whether our call ended the connection, other than the one that queued the FIN.
fn is_our_abort(story: &Story, ruling: &Ruling) -> bool {
    let by_call = matches!(
        ruling.cause,
        Cause::UnreadData
            | Cause::LingerZero
            | Cause::Linger2Negative
            | Cause::Disconnect
            | Cause::NeverAccepted
            | Cause::ConnectAbandoned
            | Cause::Repair
    );
    by_call && story.end.is_some_and(|end| end.task.is_some())
}

/// The process that called `connect()`; None if it is the verdict's process, or if it is not known.
pub(super) fn opener(story: &Story, process: Option<&Task>) -> Option<Task> {
    let opener = story.opening.and_then(|opening| opening.task)?;
    process.is_some_and(|process| process.pid != opener.pid).then_some(opener)
}

/// The calls of our side, and whether all of them were seen.
pub(super) struct Action {
    pub(super) first: Option<LocalAction>,
    pub(super) last: Option<LocalAction>,
    pub(super) known: bool,
}

/// The calls of our side that had a part in the end. If the peer or a timer ended the connection, later calls do not
/// count.
pub(super) fn action(story: &Story, ruling: &Ruling) -> Action {
    if story.chain.visited(State::SynSent) && ruling.cause == Cause::ConnectAbandoned {
        // A call ended the connection, so None means that its record does not show which.
        let first = gave_up_connecting(story);
        return Action { first, last: None, known: first.is_some() };
    }
    let end_ns = story.end.map_or(0, |end| end.ns);
    let closed = story.close_call.filter(|call| call.ns <= end_ns && !knew_error(story));
    let last = match ruling.cause {
        Cause::Disconnect => Some(LocalAction::Disconnect),
        _ if is_our_abort(story, ruling) => closed.map(|call| call.action),
        _ => None,
    };
    if let Some(fin) = story.fin_sent {
        // Of two processes, the verdict names the one that ended the connection, with its call.
        let another =
            |call: Option<Task>| call.zip(fin.task).is_some_and(|(last, first)| last.pid != first.pid);
        let ender = story.end.and_then(|end| end.task);
        let first = match last {
            Some(last) if another(ender) => last,
            _ => fin.action,
        };
        return Action { first: Some(first), last: last.filter(|last| *last != fin.action), known: true };
    }
    let fin_unseen = [State::FinWait1, State::FinWait2, State::Closing, State::LastAck];
    if fin_unseen.into_iter().any(|state| story.chain.visited(state)) {
        return Action { first: None, last: None, known: false };
    }
    if story.end.is_none() {
        return Action { first: None, last: None, known: false };
    }
    Action { first: last.or(closed.map(|call| call.action)), last: None, known: true }
}

/// Whether an ICMP error was queued for the process: then its later close() ended nothing.
fn knew_error(story: &Story) -> bool {
    story.end.is_some_and(|end| end.socket.flags.error_queued)
}

/// The call that gave up a `connect()`; None if it is not known.
fn gave_up_connecting(story: &Story) -> Option<LocalAction> {
    let flags = story.end?.socket.flags;
    if flags.closing {
        return story.close_call.map(|call| call.action);
    }
    if !flags.shutdown_call {
        return Some(LocalAction::Disconnect);
    }
    match flags.shutdown_how {
        1 => Some(LocalAction::ShutdownRead),
        2 => Some(LocalAction::ShutdownWrite),
        3 => Some(LocalAction::ShutdownBoth),
        _ => None,
    }
}
