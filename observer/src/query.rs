//! Requests to the running daemon, over a Unix socket: JSON lines, one request per connection.
//!
//! The client writes one line, `{"schema":1,"request":"closes",…}`. It reads lines until one whose `kind` is `end` (the
//! answer is complete) or `error` (with a `message`). The lines between are the answer: closes and write errors in the
//! form of [`render::json`](crate::render::json), or one object. A list with `follow` has no end; if the client reads
//! too slowly, a line of the kind `missed` has the `count` of reports that were left out.
//!
//! On the daemon's side, `sender` hands over reports, `state` holds them, `server` accepts requests, `answer` answers
//! them and `follow` continues a list. [`client`] is the other side.

mod answer;
pub mod client;
mod fins;
mod follow;
mod sender;
mod server;
pub mod socket;
mod state;
pub mod status;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use self::{fins::HistoryReader, sender::HistorySender, server::serve_in_thread};
use crate::{
    event::Endpoints,
    filter::Filter,
    half_closed::Fin,
    history::{
        PushedOut, StorySelector,
        top::{By, Group},
    },
    render::json::SCHEMA,
};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The newest closes, in the order of their times.
    Closes(List),
    /// The newest write errors, in the order of their times.
    Errors(List),
    /// Closes and write errors, counted in groups; the largest group first.
    Top {
        /// The property that makes a group.
        by: By,
        /// Only reports that match are counted.
        #[serde(default)]
        filter: Filter,
        /// Only reports from this time on; ns since 1970.
        #[serde(default)]
        since_ns: Option<i64>,
        /// Maximum groups in the answer.
        limit: usize,
    },
    /// The story of one connection.
    Explain {
        /// The connection.
        which: StorySelector,
    },
    /// The daemon's state.
    Status,
    /// The FINs of connections that are half-closed now: when each was seen, and which process closed.
    Fins,
}

/// A selection of reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Only reports that match.
    #[serde(default)]
    pub filter: Filter,
    /// Only reports from this time on; ns since 1970.
    #[serde(default)]
    pub since_ns: Option<i64>,
    /// Maximum reports; the newest are taken. Reports that follow do not count.
    pub limit: usize,
    /// Continue with new reports.
    #[serde(default)]
    pub follow: bool,
}

/// Why a line is not a request.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The line is not a JSON object.
    #[error("expected one line {{\"schema\":{SCHEMA},\"request\":…}}: {0}")]
    Malformed(serde_json::Error),
    /// The client has another version.
    #[error("this observer answers schema {SCHEMA}, not schema {0}: use the commands of its version")]
    Schema(u64),
    /// The request or one of its fields is unknown.
    #[error("this observer does not understand the request: {0}")]
    Unknown(serde_json::Error),
}

impl Request {
    /// The line that is sent, without its newline.
    #[must_use]
    pub fn line(&self) -> String {
        let mut request = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut request {
            fields.insert("schema".to_owned(), SCHEMA.into());
        }
        request.to_string()
    }

    /// Reads a line that a client sent.
    ///
    /// # Errors
    /// The line is no JSON object, has another schema, or has a field that this version does not know.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        let mut request: serde_json::Map<String, Value> =
            serde_json::from_slice(line).map_err(RequestError::Malformed)?;
        let schema = request.remove("schema").and_then(|schema| schema.as_u64()).unwrap_or(0);
        if schema != u64::from(SCHEMA) {
            return Err(RequestError::Schema(schema));
        }
        serde_json::from_value(Value::Object(request)).map_err(RequestError::Unknown)
    }
}

/// The answer to [`Request::Top`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopLine {
    /// Version of the schema.
    pub schema: u32,
    /// `top`.
    pub kind: String,
    /// The property that makes a group.
    pub by: By,
    /// Closes in all groups.
    pub closes: u64,
    /// Write errors in all groups.
    pub write_errors: u64,
    /// Number of groups, including those beyond the limit.
    pub groups: usize,
    /// The largest groups.
    pub rows: Vec<TopRow>,
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopRow {
    /// Its counts.
    #[serde(flatten)]
    pub row: Group,
    /// Time of its last report; RFC 3339.
    pub last: String,
}

/// The answer to [`Request::Fins`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FinsLine {
    /// Version of the schema.
    pub schema: u32,
    /// `fins`.
    pub kind: String,
    /// One per connection.
    pub fins: Vec<FinRow>,
}

/// A FIN that the daemon saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FinRow {
    /// The connection.
    #[serde(flatten)]
    pub endpoints: Endpoints,
    /// Its FIN.
    #[serde(flatten)]
    pub fin: Fin,
}

/// The last line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndLine {
    /// Version of the schema.
    pub schema: u32,
    /// `end`.
    pub kind: String,
    /// Lines of the answer before this one.
    pub told: usize,
    /// The limit left out some that match.
    pub more: bool,
    /// How far back the history reaches. Only where an answer depends on it; daemons before this field do not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRange>,
}

/// How far back the history of one kind of report reaches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryRange {
    /// From this time on it is complete; RFC 3339.
    pub start: String,
    /// Older reports that were dropped, by the limit that dropped them.
    pub pushed_out: PushedOut,
}

#[cfg(test)]
mod tests;
