//! Reports: verdicts of closes, explained write errors, stray resets, expired lingers.
//!
//! In: what the story table emits. Out: [`Report`].

use serde::{Deserialize, Serialize};

use crate::{
    classify::{
        StrayCause, WriteVerdict, classify, linger_expired, stray_cause, verdict::Verdict, write_error,
    },
    event::{Endpoints, Reason, State, Task, packed},
    story::{
        Story,
        table::{Emitted, FailedWrite, Stray},
    },
    words::Side,
};

/// One line of output, and one count in the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A connection has ended.
    Close(Box<Verdict>),
    /// A send failed.
    WriteError(WriteFailure),
    /// A reset was sent for no live connection.
    StrayReset(StrayReset),
    /// A lingering `close()` gave up. The connection's verdict follows when it really ends.
    LingerExpired(LingerExpired),
}

/// A failed send, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFailure {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the connection's verdict; None if no sign of its end has been seen.
    pub close_id: Option<String>,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The side that connected. None if the connection is older than the observer, or no sign of its end has been seen.
    pub opened_by: Option<Side>,
    /// The writer.
    #[serde(with = "packed")]
    pub process: Option<Task>,
    /// Positive errno.
    pub errno: u32,
    /// The kernel generated SIGPIPE.
    pub sigpipe: bool,
    /// Why, and how long after the peer's FIN or a reset.
    pub verdict: WriteVerdict,
}

/// A reset that was sent for no live connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayReset {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Both ends.
    pub endpoints: Endpoints,
    /// Why.
    pub cause: StrayCause,
    /// State of the socket that the segment found; None if it found no socket.
    pub state: Option<State>,
    /// None if the kernel gives no reason (before 6.10).
    pub kernel_reason: Option<Reason>,
}

/// A lingering `close()` that gave up with data or its FIN unacknowledged.
///
/// On Linux it returns 0 and sends no reset, and the kernel keeps retransmitting in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LingerExpired {
    /// Its deadline; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the connection's later verdict.
    pub close_id: String,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The side that connected. None if the connection is older than the observer.
    pub opened_by: Option<Side>,
    /// The process that closed.
    pub process: Option<Task>,
    /// The time that SO_LINGER asked for, ms.
    pub configured_ms: u64,
}

impl WriteFailure {
    fn of(story: Option<&Story>, failed: &FailedWrite<'_>) -> Self {
        let FailedWrite { ns, process, errno, sigpipe, socket } = *failed;
        Self {
            ns,
            close_id: story.map(Story::id),
            endpoints: story.and_then(|story| story.endpoints).unwrap_or(socket.endpoints),
            opened_by: story.and_then(|story| story.opening).map(|opening| opening.by),
            process,
            errno,
            sigpipe,
            verdict: write_error(story, ns, errno, socket),
        }
    }
}

impl StrayReset {
    fn of(stray: &Stray<'_>) -> Self {
        Self {
            ns: stray.ns,
            endpoints: stray.endpoints,
            cause: stray_cause(stray.state, stray.reason, stray.asks),
            state: stray.state,
            kernel_reason: stray.reason.cloned(),
        }
    }
}

impl LingerExpired {
    /// None if the wait of the `close()` was over before its deadline.
    fn of(story: &Story) -> Option<Self> {
        if !linger_expired(story) {
            return None;
        }
        let call = story.close_call?;
        Some(Self {
            ns: story.linger_deadline_ns()?,
            close_id: story.id(),
            endpoints: story.endpoints.unwrap_or(Endpoints::UNKNOWN),
            opened_by: story.opening.map(|opening| opening.by),
            process: call.task,
            configured_ms: call.linger_ms?,
        })
    }
}

impl Report {
    /// Explains what the table emits. None if there is nothing to report: a `close()` had lingered successfully.
    #[must_use]
    pub fn of(emitted: &Emitted<'_>) -> Option<Self> {
        match emitted {
            Emitted::Close(story) => Some(Self::Close(Box::new(classify(story)))),
            Emitted::WriteError { story, failed } => Some(Self::WriteError(WriteFailure::of(*story, failed))),
            Emitted::LingerDeadline(story) => LingerExpired::of(story).map(Self::LingerExpired),
            Emitted::StrayReset(stray) => Some(Self::StrayReset(StrayReset::of(stray))),
        }
    }

    /// Both ends.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        match self {
            Self::Close(verdict) => &verdict.head.endpoints,
            Self::WriteError(failure) => &failure.endpoints,
            Self::StrayReset(reset) => &reset.endpoints,
            Self::LingerExpired(expired) => &expired.endpoints,
        }
    }

    /// The process; None if it is not known.
    #[must_use]
    pub fn process(&self) -> Option<&Task> {
        match self {
            Self::Close(verdict) => verdict.head.process.as_ref(),
            Self::WriteError(failure) => failure.process.as_ref(),
            Self::StrayReset(_) => None,
            Self::LingerExpired(expired) => expired.process.as_ref(),
        }
    }
}
