//! Recordings: JSON lines of events under a header line. They stand in for the kernel.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::ClockOffset;
use crate::event::Event;

/// Version of the format; readers refuse a newer one.
pub const FORMAT: u32 = 1;

/// First line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub recording: u32,
    /// Version of the observer that wrote it.
    pub version: String,
    /// `uname -r` of the kernel that was observed.
    pub kernel: String,
    /// Mechanism of the hooks.
    pub mechanism: String,
    /// For the time of day of its events.
    pub clock_offset_ns: ClockOffset,
}

/// Why a recording cannot be read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file.
    #[error("line {line}: {source}")]
    Read {
        /// Line, from 1.
        line: usize,
        /// Error.
        source: std::io::Error,
    },
    /// No header.
    #[error("it is empty; a recording begins with a header line, as `observer trace --record` writes it")]
    Empty,
    /// Another file, or a damaged one.
    #[error("line 1 is no header of a recording ({0}); is this a file of `observer trace --record`?")]
    Header(serde_json::Error),
    /// From the future.
    #[error("its format is version {found}, this observer reads up to {FORMAT}: use a newer observer")]
    Format {
        /// The version it says.
        found: u32,
    },
    /// One event.
    #[error("line {line} is no event ({source}); the file is damaged or cut short from there")]
    Event {
        /// Line, from 1.
        line: usize,
        /// Error.
        source: serde_json::Error,
    },
}

/// Writes a recording.
pub struct Recorder<W: Write> {
    out: W,
}

impl<W: Write> Recorder<W> {
    /// Writes the header.
    pub fn new(mut out: W, header: &Header) -> std::io::Result<Self> {
        serde_json::to_writer(&mut out, header)?;
        out.write_all(b"\n")?;
        Ok(Self { out })
    }

    /// Adds one event.
    pub fn write(&mut self, event: &Event) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")
    }

    /// Pushes everything to the file.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Reads a recording line by line.
pub struct Recording<R: BufRead> {
    /// Its first line.
    pub header: Header,
    lines: std::io::Lines<R>,
    line: usize,
}

impl<R: BufRead> Recording<R> {
    /// Reads the header.
    pub fn open(input: R) -> Result<Self, RecordingError> {
        let mut lines = input.lines();
        let first = lines.next().ok_or(RecordingError::Empty)?;
        let first = first.map_err(|source| RecordingError::Read { line: 1, source })?;
        let header: Header = serde_json::from_str(&first).map_err(RecordingError::Header)?;
        if header.recording > FORMAT {
            return Err(RecordingError::Format { found: header.recording });
        }
        Ok(Self { header, lines, line: 1 })
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Result<Event, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.lines.next()?;
        self.line += 1;
        let line = self.line;
        Some(match text {
            Ok(text) => serde_json::from_str(&text).map_err(|source| RecordingError::Event { line, source }),
            Err(source) => Err(RecordingError::Read { line, source }),
        })
    }
}

#[cfg(test)]
mod tests;
