//! Recordings: a header line and JSON lines of events. A recording replaces the kernel for every later stage.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::ClockOffset;
use crate::event::Event;

/// Version of the format. Readers refuse a newer one.
pub const FORMAT: u32 = 1;

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub recording: u32,
    /// Version of the observer that wrote the recording.
    pub version: String,
    /// `uname -r` of the kernel that was observed.
    pub kernel: String,
    /// Mechanism of the hooks on functions.
    pub mechanism: String,
    /// Converts the times of its events into the time of day.
    pub clock_offset_ns: ClockOffset,
}

/// Why a recording cannot be read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// A line cannot be read.
    #[error("line {line}: {source}")]
    Read {
        /// Number of the line, from 1.
        line: usize,
        /// The error of the read.
        source: std::io::Error,
    },
    /// The file has no line.
    #[error("it is empty; a recording begins with a header line, as `observer trace --record` writes it")]
    Empty,
    /// The first line is no header: another kind of file, or a damaged one.
    #[error("line 1 is no header of a recording ({0}); is this a file of `observer trace --record`?")]
    Header(serde_json::Error),
    /// A newer observer wrote the recording.
    #[error(
        "the recording has format version {found}; this observer reads versions up to {FORMAT}: use a newer observer"
    )]
    Format {
        /// The version in the header.
        found: u32,
    },
    /// A line is no event.
    #[error("line {line} is no event ({source}); the file is damaged or cut short from there")]
    Event {
        /// Number of the line, from 1.
        line: usize,
        /// The error of the parser.
        source: serde_json::Error,
    },
}

/// Writes a recording.
pub struct Recorder<W: Write> {
    out: W,
}

impl<W: Write> Recorder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// The write fails.
    pub fn new(mut out: W, header: &Header) -> std::io::Result<Self> {
        serde_json::to_writer(&mut out, header)?;
        out.write_all(b"\n")?;
        Ok(Self { out })
    }

    /// Writes one event.
    ///
    /// # Errors
    /// The write fails.
    pub fn write(&mut self, event: &Event) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// The write fails.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Reads a recording line by line.
pub struct Recording<R: BufRead> {
    /// The header.
    pub header: Header,
    lines: std::io::Lines<R>,
    line: usize,
}

impl<R: BufRead> Recording<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The input is empty, cannot be read, has no header, or has a newer format.
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
