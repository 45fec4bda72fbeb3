//! The JSON lines as types, written by the daemon and read by its clients.
//!
//! The names and the order of the fields are the schema of version 1 (`docs/json.md`): fields may be added, never
//! renamed or removed. Times are RFC 3339 in UTC, durations are milliseconds, queues are bytes. What is not known is
//! null.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Version of the schema.
pub const SCHEMA: u32 = 1;

/// A word of a closed set.
type Word = Cow<'static, str>;

/// One report: what every kind of line has, and the kind's own fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportLine<B> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `close`, `write_error`, `reset` or `linger_expired`.
    pub kind: Word,
    /// The kind's own fields.
    #[serde(flatten)]
    pub body: B,
    /// The same in one sentence.
    pub summary: String,
}

/// How one connection ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct CloseLine {
    pub id: String,
    pub time: String,
    pub connection: ConnectionJson,
    pub process: Option<ProcessJson>,
    pub opened_by_process: Option<ProcessJson>,
    pub outcome: Word,
    pub cause: Word,
    pub first_close: Word,
    pub local_action: Option<Word>,
    pub fin: Option<FinJson>,
    pub linger: Option<LingerJson>,
    pub half_closed: HalfClosedJson,
    pub bytes: BytesJson,
    pub reset: Option<ResetJson>,
    pub error: Option<Word>,
    pub write_errors: BTreeMap<Word, u32>,
    pub duration_ms: Option<f64>,
    pub evidence: Word,
    pub missing: Vec<Word>,
}

impl CloseLine {
    /// `outcome/cause`, or one word where the two are the same.
    #[must_use]
    pub fn verdict(&self) -> String {
        let Self { outcome, cause, .. } = self;
        if outcome == cause { cause.to_string() } else { format!("{outcome}/{cause}") }
    }
}

/// A send that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct WriteErrorLine {
    pub time: String,
    pub close_id: Option<String>,
    pub connection: ConnectionJson,
    pub process: Option<ProcessJson>,
    pub errno: Word,
    pub sigpipe: bool,
    pub cause: Word,
    pub since_peer_fin_ms: Option<f64>,
    pub since_reset_ms: Option<f64>,
}

/// A RST that was sent for no live connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct ResetLine {
    pub time: String,
    pub connection: ConnectionJson,
    pub cause: Word,
    pub kernel_reason: Option<String>,
}

/// A `close()` that gave up lingering.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct LingerExpiredLine {
    pub time: String,
    pub close_id: String,
    pub connection: ConnectionJson,
    pub process: Option<ProcessJson>,
    pub configured_ms: u64,
}

/// Both ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct ConnectionJson {
    pub family: Word,
    pub local: AddressJson,
    pub remote: AddressJson,
    pub netns: u32,
    pub opened_by: Word,
}

/// One end: `192.0.2.1:443` or `[2001:db8::1]:443` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct AddressJson {
    pub addr: String,
    pub port: u16,
}

impl fmt::Display for AddressJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, port } = self;
        if addr.contains(':') { write!(f, "[{addr}]:{port}") } else { write!(f, "{addr}:{port}") }
    }
}

/// A process: `nginx[812]` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct ProcessJson {
    pub pid: u32,
    pub comm: String,
    pub uid: u32,
    pub cgroup: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
}

impl fmt::Display for ProcessJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.comm, self.pid)
    }
}

/// A lingering `close()`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct LingerJson {
    pub mode: Word,
    pub configured_ms: Option<u64>,
    pub waited_ms: Option<f64>,
    pub result: Option<Word>,
}

/// How long each side waited for the other side's FIN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct HalfClosedJson {
    pub local_ms: Option<f64>,
    pub remote_ms: Option<f64>,
}

/// The queues at the end, and the bytes that were written after the peer's FIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct BytesJson {
    pub unread: Option<u32>,
    pub unacked: Option<u32>,
    pub unsent: Option<u32>,
    pub after_peer_fin: Option<u32>,
}

/// The fate of our FIN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct FinJson {
    pub sent: Option<bool>,
    pub acked_ms: Option<f64>,
}

/// The RST that ended the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct ResetJson {
    pub direction: Word,
    pub in_state: Word,
    pub kernel_reason: Option<String>,
}
