//! FINs that the daemon saw: when, and of which process.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    classify::{Cause, verdict::Verdict},
    event::{Endpoints, Task},
    story::Story,
    words::Side,
};

/// The FIN of one side, while the other side has sent none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fin {
    /// Who sent it.
    pub side: Side,
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// This host has closed the socket, and not only shut down its writing side.
    pub closed: bool,
    /// The process that closed the socket, or else sent the FIN. None for the peer's FIN, and where none was seen.
    pub process: Option<Task>,
}

/// By connection.
pub type Fins = HashMap<Endpoints, Fin>;

impl Fin {
    /// Of a connection whose end has begun; None where it is not half-closed.
    #[must_use]
    pub fn of_story(story: &Story) -> Option<(Endpoints, Self)> {
        let (side, ns) = story.half_closed()?;
        let closer = story.close_call.and_then(|call| call.task);
        let sender = story.fin_sent.and_then(|fin| fin.task);
        // A kernel thread closes for a process.
        let acted = [closer, sender].into_iter().flatten().find(|task| !task.kthread);
        let process = acted.or(story.holder).filter(|_| side == Side::Local);
        Some((story.endpoints?, Self { side, ns, closed: story.close_call.is_some(), process }))
    }

    /// Of a connection whose verdict has been given, while the kernel waits for the peer's FIN with a minisocket; None
    /// for any other.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict) -> Option<(Endpoints, Self)> {
        if verdict.cause != Cause::ClosedFirst {
            return None;
        }
        let ns = verdict.ns.checked_sub(verdict.fin?.queued_ns)?;
        Some((verdict.endpoints, Self { side: Side::Local, ns, closed: true, process: verdict.process }))
    }

    /// The newest FIN of this side of the connection, of what several know.
    #[must_use]
    pub fn newest(known: &[&Fins], endpoints: &Endpoints, side: Side) -> Option<Self> {
        let found = known.iter().filter_map(|fins| fins.get(endpoints).copied());
        found.filter(|fin| fin.side == side).max_by_key(|fin| fin.ns)
    }
}
