//! What leaves the pipeline: verdicts on closes, explained write errors, resets without a connection.

use crate::{
    classify::{StrayCause, WriteVerdict, classify, stray_cause, verdict::Verdict, write_error},
    event::{Body, Endpoints, Reason, Task},
    story::table::Told,
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
}

/// A failed send, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFailure {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Id of the connection's verdict; None where nothing of an end was seen.
    pub close_id: Option<String>,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The writer.
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
    /// The kernel's reason, where it gives one.
    pub kernel_reason: Option<Reason>,
}

impl Report {
    /// Understands what the table tells. None only for an event that is no report by its kind.
    #[must_use]
    pub fn of(told: &Told<'_>) -> Option<Self> {
        match told {
            Told::Close(story) => Some(Self::Close(Box::new(classify(story)))),
            Told::WriteError { story, event } => {
                let Body::WriteError { errno, sigpipe, socket } = &event.body else { return None };
                Some(Self::WriteError(WriteFailure {
                    ns: event.ns,
                    close_id: story.map(crate::story::Story::id),
                    endpoints: story.and_then(|story| story.endpoints).unwrap_or(socket.endpoints),
                    process: event.task,
                    errno: *errno,
                    sigpipe: *sigpipe,
                    verdict: write_error(*story, event.ns, *errno, socket),
                }))
            }
            Told::StrayReset(event) => {
                let Body::StrayReset { reason, state, endpoints } = &event.body else { return None };
                Some(Self::StrayReset(StrayReset {
                    ns: event.ns,
                    endpoints: *endpoints,
                    cause: stray_cause(*state, reason.as_ref()),
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
        }
    }

    /// The process, where one is known.
    #[must_use]
    pub fn process(&self) -> Option<&Task> {
        match self {
            Self::Close(verdict) => verdict.process.as_ref(),
            Self::WriteError(failure) => failure.process.as_ref(),
            Self::StrayReset(_) => None,
        }
    }
}
