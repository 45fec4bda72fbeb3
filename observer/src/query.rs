//! Questions to the running daemon, over a Unix socket: JSON lines, one question a connection.
//!
//! The client writes one line, `{"schema":1,"request":"closes",…}`, and reads lines until one whose `kind` is `end`
//! (all told) or `error` (with a `message`). Between them come the things asked for: closes and write errors as they
//! are everywhere (`publish::json`), else one object. A list that is followed has no end.

mod answer;
pub mod client;
mod fins;
mod server;
pub mod socket;
pub mod status;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use self::{
    fins::Remembered,
    server::{HistorySender, Note, serve_in_thread},
};
use crate::{
    event::Endpoints,
    filter::Filter,
    half_closed::Fin,
    history::{
        StorySelector,
        top::{By, Group},
    },
    render::json::SCHEMA,
};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The newest closes, oldest first.
    Closes(List),
    /// The newest failing writes, oldest first.
    Errors(List),
    /// Groups, the largest first.
    Top {
        /// What is counted by.
        by: By,
        /// Which are counted.
        #[serde(default)]
        filter: Filter,
        /// Not before this; ns since 1970.
        #[serde(default)]
        since_ns: Option<i64>,
        /// So many groups.
        limit: usize,
    },
    /// One story.
    Explain {
        /// Which.
        which: StorySelector,
    },
    /// How the daemon is.
    Status,
    /// When the FINs of what is half-closed now were seen, and who closed.
    Fins,
}

/// Which of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Which.
    #[serde(default)]
    pub filter: Filter,
    /// Not before this; ns since 1970.
    #[serde(default)]
    pub since_ns: Option<i64>,
    /// So many at most.
    pub limit: usize,
    /// Then go on with those to come.
    #[serde(default)]
    pub follow: bool,
}

/// What is no question.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No JSON object with a `schema`.
    #[error("expected one line {{\"schema\":{SCHEMA},\"request\":…}}: {0}")]
    Malformed(serde_json::Error),
    /// Another version.
    #[error("this observer speaks schema {SCHEMA}, and was asked in schema {0}: use commands of its version")]
    Schema(u64),
    /// Not one that is known.
    #[error("this observer does not understand the request: {0}")]
    Unknown(serde_json::Error),
}

impl Request {
    /// As it is sent, without its newline.
    #[must_use]
    pub fn line(&self) -> String {
        let mut asked = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut asked {
            fields.insert("schema".to_owned(), SCHEMA.into());
        }
        asked.to_string()
    }

    /// From what was sent.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        let mut asked: serde_json::Map<String, Value> =
            serde_json::from_slice(line).map_err(RequestError::Malformed)?;
        let schema = asked.remove("schema").and_then(|schema| schema.as_u64()).unwrap_or(0);
        if schema != u64::from(SCHEMA) {
            return Err(RequestError::Schema(schema));
        }
        serde_json::from_value(Value::Object(asked)).map_err(RequestError::Unknown)
    }
}

/// The groups that were asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopLine {
    /// Version of the schema.
    pub schema: u32,
    /// `top`.
    pub kind: String,
    /// What is counted by.
    pub by: By,
    /// Closes in all groups.
    pub closes: u64,
    /// Failing writes in all groups.
    pub write_errors: u64,
    /// Groups, those that are not shown included.
    pub groups: usize,
    /// Those that are shown.
    pub rows: Vec<TopRow>,
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopRow {
    /// What was counted.
    #[serde(flatten)]
    pub row: Group,
    /// When the last of them happened; RFC 3339.
    pub last: String,
}

/// The FINs that were asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FinsLine {
    /// Version of the schema.
    pub schema: u32,
    /// `fins`.
    pub kind: String,
    /// Each of them.
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

/// The line that ends an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndLine {
    /// Version of the schema.
    pub schema: u32,
    /// `end`.
    pub kind: String,
    /// Things that were told.
    pub told: usize,
    /// There are more, and the limit kept them back.
    pub more: bool,
}

#[cfg(test)]
mod tests;
