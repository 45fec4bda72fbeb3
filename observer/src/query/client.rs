//! The client side of the query protocol: sends one request, and reads the answer line by line.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{Gid, Group};
use serde::Deserialize;
use thiserror::Error;

use super::{EndLine, Request};
use crate::render::json::SCHEMA;

/// Time for the next line of an answer. A list with `follow` has no such limit.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The same for FINs, which only add to what the client finds out itself.
const FINS_WAIT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No daemon listens.
    #[error(
        "no observer answers at {}: start one with `observer run` or `systemctl start observer`, or use \
         `observer trace`, which needs none", path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
    },
    /// This user may not open the socket.
    #[error("permission denied: {}; use sudo{}", path.display(), or_join(group.as_deref()))]
    NotAllowed {
        /// The socket.
        path: PathBuf,
        /// The group whose members may ask. None where it is not known, or is root's.
        group: Option<String>,
    },
    /// The connection failed.
    #[error("asking the observer at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// The daemon refuses, and says why.
    #[error("the observer refuses: {0}")]
    Refused(String),
    /// A line that is not JSON, or lacks a field.
    #[error("the observer at {} sent an invalid answer: {source}", path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// The mistake.
        source: serde_json::Error,
    },
    /// The daemon has another version.
    #[error(
        "the observer answers in schema {0}, this command reads schema {SCHEMA}: use a command of its version"
    )]
    Schema(u32),
    /// The connection ended before the answer did.
    #[error("the observer at {} ended in the middle of its answer", path.display())]
    Cut {
        /// The socket.
        path: PathBuf,
    },
}

fn or_join(group: Option<&str>) -> String {
    group.map_or_else(String::new, |group| format!(" or join group {group}"))
}

impl ClientError {
    fn not_allowed(path: &Path) -> Self {
        let gid = fs::metadata(path).ok().map(|file| file.gid()).filter(|gid| *gid != 0);
        let name = |gid: u32| Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        Self::NotAllowed { path: path.to_owned(), group: gid.and_then(name) }
    }
}

/// An answer, read line by line.
pub struct Lines {
    path: PathBuf,
    input: BufReader<UnixStream>,
    /// The last line. None until it has been read.
    pub end: Option<EndLine>,
}

/// The fields that identify a line.
#[derive(Deserialize)]
struct Envelope<'a> {
    schema: u32,
    kind: &'a str,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    count: u64,
}

/// Sends a request.
///
/// # Errors
/// No daemon listens at `path`, this user may not ask it, or the connection fails.
pub fn ask(path: &Path, request: &Request) -> Result<Lines, ClientError> {
    let failed = |source| ClientError::Io { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon { path: path.to_owned() }
        }
        io::ErrorKind::PermissionDenied => ClientError::not_allowed(path),
        _ => failed(source),
    })?;
    let wait = match request {
        Request::Closes(list) | Request::Errors(list) if list.follow => None,
        Request::Fins => Some(FINS_WAIT),
        _ => Some(ANSWER_WAIT),
    };
    stream.set_read_timeout(wait).map_err(failed)?;
    // After EPIPE the daemon's refusal may still be there to be read, and it says why.
    match stream.write_all((request.line() + "\n").as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
        _ => {}
    }
    Ok(Lines { path: path.to_owned(), input: BufReader::new(stream), end: None })
}

/// The kind of one line.
enum Read {
    /// A part of the answer, as JSON.
    Line(String),
    /// A message about the answer, which has been logged.
    Message,
    End,
}

impl Iterator for Lines {
    type Item = Result<String, ClientError>;

    /// The next line of the answer, as JSON.
    fn next(&mut self) -> Option<Self::Item> {
        while self.end.is_none() {
            match self.read() {
                Ok(Read::Line(line)) => return Some(Ok(line)),
                Ok(Read::Message | Read::End) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl Lines {
    fn read(&mut self) -> Result<Read, ClientError> {
        let path = || self.path.clone();
        let mut text = String::new();
        let read = self.input.read_line(&mut text);
        if read.map_err(|source| ClientError::Io { path: path(), source })? == 0 {
            return Err(ClientError::Cut { path: path() });
        }
        let garbled = |source| ClientError::Garbled { path: path(), source };
        let line: Envelope<'_> = serde_json::from_str(&text).map_err(garbled)?;
        if line.schema != SCHEMA {
            return Err(ClientError::Schema(line.schema));
        }
        match line.kind {
            "error" => Err(ClientError::Refused(line.message.unwrap_or_default())),
            "missed" => {
                log::warn!("{} lines are missing here: this command read too slowly", line.count);
                Ok(Read::Message)
            }
            "end" => {
                self.end = Some(serde_json::from_str(&text).map_err(garbled)?);
                Ok(Read::End)
            }
            _ => {
                text.truncate(text.trim_end().len());
                Ok(Read::Line(text))
            }
        }
    }
}
