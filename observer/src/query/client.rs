//! The asking side.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use thiserror::Error;

use super::{EndLine, Request};
use crate::render::json::SCHEMA;

/// Time for the next part of an answer, unless it is followed.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The same where the answer is only a help.
const HELP_WAIT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no observer answers at {}: start one with `observer run` or `systemctl start observer`, or use \
         `observer trace`, which needs none", path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
    },
    /// Not for this user.
    #[error("you may not ask the observer at {}: it answers root and the group of that file", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection.
    #[error("asking the observer at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon says why.
    #[error("the observer refuses: {0}")]
    Refused(String),
    /// Not what was promised.
    #[error("the observer at {} said what is no answer: {source}", path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// Error.
        source: serde_json::Error,
    },
    /// A newer daemon.
    #[error("the observer speaks schema {0}, this command {SCHEMA}: use a command of its version")]
    Schema(u32),
    /// It went away.
    #[error("the observer at {} ended before its answer did", path.display())]
    Cut {
        /// The socket.
        path: PathBuf,
    },
}

/// An answer, line by line.
pub struct Lines {
    path: PathBuf,
    input: BufReader<UnixStream>,
    /// What the end said; None until it came.
    pub end: Option<EndLine>,
}

/// What every line has.
#[derive(Deserialize)]
struct Envelope<'a> {
    schema: u32,
    kind: &'a str,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    count: u64,
}

/// Asks.
pub fn ask(path: &Path, ask: &Request) -> Result<Lines, ClientError> {
    let failed = |source| ClientError::Io { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon { path: path.to_owned() }
        }
        io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: path.to_owned() },
        _ => failed(source),
    })?;
    let wait = match ask {
        Request::Closes(list) | Request::Errors(list) if list.follow => None,
        Request::Fins => Some(HELP_WAIT),
        _ => Some(ANSWER_WAIT),
    };
    stream.set_read_timeout(wait).map_err(failed)?;
    // A refusal may be on its way already, and says more than that nobody reads.
    match stream.write_all((ask.line() + "\n").as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
        _ => {}
    }
    Ok(Lines { path: path.to_owned(), input: BufReader::new(stream), end: None })
}

impl Iterator for Lines {
    type Item = Result<String, ClientError>;

    /// The next thing that was asked for, as its JSON line.
    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        loop {
            match self.read() {
                Ok(line) => return line.map(Ok),
                Err(Missed(Some(error))) => return Some(Err(error)),
                Err(Missed(None)) => {}
            }
        }
    }
}

/// An error, or a message that was told and is no thing that was asked for.
struct Missed(Option<ClientError>);

impl From<ClientError> for Missed {
    fn from(error: ClientError) -> Self {
        Self(Some(error))
    }
}

impl Lines {
    fn read(&mut self) -> Result<Option<String>, Missed> {
        let path = || self.path.clone();
        let mut text = String::new();
        let read = self.input.read_line(&mut text);
        if read.map_err(|source| ClientError::Io { path: path(), source })? == 0 {
            return Err(ClientError::Cut { path: path() }.into());
        }
        let garbled = |source| ClientError::Garbled { path: path(), source };
        let line: Envelope<'_> = serde_json::from_str(&text).map_err(garbled)?;
        if line.schema != SCHEMA {
            return Err(ClientError::Schema(line.schema).into());
        }
        match line.kind {
            "error" => Err(ClientError::Refused(line.message.unwrap_or_default()).into()),
            "missed" => {
                log::warn!("{} were told while nobody read, and are left out", line.count);
                Err(Missed(None))
            }
            "end" => {
                self.end = Some(serde_json::from_str(&text).map_err(garbled)?);
                Ok(None)
            }
            _ => {
                text.truncate(text.trim_end().len());
                Ok(Some(text))
            }
        }
    }
}
