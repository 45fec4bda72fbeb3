//! What leaves the pipeline: verdicts on closes, explained write errors, resets without a connection.

use serde::{Deserialize, Serialize};

use crate::{
    classify::{
        StrayCause, WriteVerdict, classify, linger_expired, stray_cause, verdict::Verdict, write_error,
    },
    event::{Body, Endpoints, Reason, State, Task, packed},
    story::table::Emitted,
    words::Side,
};

/// One line of output, one count in the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A connection has ended.
    Close(Box<Verdict>),
    /// A send failed.
    WriteError(WriteFailure),
    /// A reset was sent for no live connection.
    StrayReset(StrayReset),
    /// A lingering `close()` gave up; the connection's own verdict comes when it really ends.
    LingerExpired(LingerExpired),
}

/// A failed send, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFailure {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the connection's verdict; None where nothing of an end was seen.
    pub close_id: Option<String>,
    /// Both ends.
    pub endpoints: Endpoints,
    /// None when the connection is older than the observer, or nothing of its end was seen.
    pub opened_by: Option<Side>,
    /// The writer.
    #[serde(with = "packed")]
    pub process: Option<Task>,
    /// Positive errno.
    pub errno: u32,
    /// SIGPIPE was generated.
    pub sigpipe: bool,
    /// Why, and since when.
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
    /// State of the socket that the segment found; None when it found none.
    pub state: Option<State>,
    /// The kernel's reason, where it gives one.
    pub kernel_reason: Option<Reason>,
}

/// A lingering `close()` that gave up with data or its FIN unacknowledged.
///
/// On Linux it returns 0, sends no reset, and the kernel goes on trying in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LingerExpired {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the connection's verdict to come.
    pub close_id: String,
    /// Both ends.
    pub endpoints: Endpoints,
    /// None when the connection is older than the observer.
    pub opened_by: Option<Side>,
    /// Who closed.
    pub process: Option<Task>,
    /// The time asked for, ms.
    pub configured_ms: u64,
}

impl Report {
    /// Understands what the table tells. None when there is nothing to report, as for a `close()` that had waited
    /// long enough.
    #[must_use]
    pub fn of(told: &Emitted<'_>) -> Option<Self> {
        match told {
            Emitted::Close(story) => Some(Self::Close(Box::new(classify(story)))),
            Emitted::WriteError { story, event } => {
                let Body::WriteError { errno, sigpipe, socket } = &event.body else { return None };
                Some(Self::WriteError(WriteFailure {
                    ns: event.ns,
                    close_id: story.map(crate::story::Story::id),
                    endpoints: story.and_then(|story| story.endpoints).unwrap_or(socket.endpoints),
                    opened_by: story.and_then(|story| story.opening).map(|opening| opening.by),
                    process: event.task,
                    errno: *errno,
                    sigpipe: *sigpipe,
                    verdict: write_error(*story, event.ns, *errno, socket),
                }))
            }
            Emitted::LingerDeadline(story) => {
                if !linger_expired(story) {
                    return None;
                }
                let call = story.close_call?;
                Some(Self::LingerExpired(LingerExpired {
                    ns: story.linger_deadline_ns()?,
                    close_id: story.id(),
                    endpoints: story.endpoints.unwrap_or(Endpoints::UNKNOWN),
                    opened_by: story.opening.map(|opening| opening.by),
                    process: call.task,
                    configured_ms: call.linger_ms?,
                }))
            }
            Emitted::StrayReset(event) => {
                let Body::StrayReset { reason, state, asks, endpoints } = &event.body else { return None };
                Some(Self::StrayReset(StrayReset {
                    ns: event.ns,
                    endpoints: *endpoints,
                    cause: stray_cause(*state, reason.as_ref(), *asks),
                    state: *state,
                    kernel_reason: reason.clone(),
                }))
            }
        }
    }

    /// Both ends.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        match self {
            Self::Close(verdict) => &verdict.endpoints,
            Self::WriteError(failure) => &failure.endpoints,
            Self::StrayReset(reset) => &reset.endpoints,
            Self::LingerExpired(expired) => &expired.endpoints,
        }
    }

    /// The process, where one is known.
    #[must_use]
    pub fn process(&self) -> Option<&Task> {
        match self {
            Self::Close(verdict) => verdict.process.as_ref(),
            Self::WriteError(failure) => failure.process.as_ref(),
            Self::StrayReset(_) => None,
            Self::LingerExpired(expired) => expired.process.as_ref(),
        }
    }
}
