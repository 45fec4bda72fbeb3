//! FINs that the daemon saw, with time and process.

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
    /// The side that sent it.
    pub side: Side,
    /// Its time; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// This host has closed the socket, not only shut down its writing side.
    pub closed: bool,
    /// The process that closed the socket, or else the one that sent the FIN. None for the peer's FIN, or if no process
    /// was seen.
    pub process: Option<Task>,
}

/// FINs by connection.
pub type Fins = HashMap<Endpoints, Fin>;

impl Fin {
    /// The FIN of a connection whose end has begun; None if it is not half-closed.
    #[must_use]
    pub fn of_story(story: &Story) -> Option<(Endpoints, Self)> {
        let (side, ns) = story.half_closed()?;
        let closer = story.close_call.and_then(|call| call.task);
        let sender = story.fin_sent.and_then(|fin| fin.task);
        // A kernel thread acts for another process, so it is not the owner.
        let acted = [closer, sender].into_iter().flatten().find(|task| !task.kthread);
        let process = acted.or(story.holder).filter(|_| side == Side::Local);
        Some((story.endpoints?, Self { side, ns, closed: story.close_call.is_some(), process }))
    }

    /// Our FIN of a connection that has its verdict while the kernel still waits for the peer's FIN with a
    /// minisocket. None for any other connection.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict) -> Option<(Endpoints, Self)> {
        if verdict.head.cause != Cause::ClosedFirst {
            return None;
        }
        let ns = verdict.head.ns.checked_sub(verdict.fin?.queued_ns)?;
        Some((
            verdict.head.endpoints,
            Self { side: Side::Local, ns, closed: true, process: verdict.head.process },
        ))
    }

    /// The newest FIN of this side of the connection, from several maps.
    #[must_use]
    pub fn newest(known: &[&Fins], endpoints: &Endpoints, side: Side) -> Option<Self> {
        let found = known.iter().filter_map(|fins| fins.get(endpoints).copied());
        found.filter(|fin| fin.side == side).max_by_key(|fin| fin.ns)
    }
}
