//! A file of lines that begins anew when it is too large or too old; `F.1` is then the one before, up to `F.<keep>`.
//!
//! What cannot be written is the caller's to count. The file never holds half a line, and it never grows beyond its
//! limit, not even when it cannot be rotated.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::config;

/// Between two tries to open a file, or to begin a new one, when that fails.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct LogFile {
    path: PathBuf,
    max_size: u64,
    max_age: Duration,
    keep: usize,
    open: Option<Open>,
    tried: Option<Instant>,
}

struct Open {
    file: File,
    length: u64,
    begun: SystemTime,
}

impl LogFile {
    /// Touches nothing yet.
    pub(super) fn new(path: &Path, settings: &config::EventLogSettings) -> Self {
        let config::EventLogSettings { max_size, max_age, keep, .. } = *settings;
        let (path, max_size) = (path.to_owned(), max_size.into());
        Self { path, max_size, max_age, keep, open: None, tried: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes lines, and says how many are in the file now.
    pub(super) fn write(&mut self, lines: &[&str], now: Instant) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < lines.len() {
            let (more, result) = self.write_until_full(&lines[written..], now);
            written += more;
            if result.is_err() {
                return (written, result);
            }
        }
        (written, Ok(()))
    }

    /// As many lines as fit into this file, at least one.
    fn write_until_full(&mut self, lines: &[&str], now: Instant) -> (usize, io::Result<()>) {
        let max_size = self.max_size;
        let open = match self.open_for(lines[0], now) {
            Ok(open) => open,
            Err(error) => return (0, Err(error)),
        };
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for line in lines {
            if !ends.is_empty() && open.length + (text.len() + line.len()) as u64 >= max_size {
                break;
            }
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            ends.push(text.len());
        }
        let (bytes, result) = write_some(&mut open.file, &text);
        let whole = ends.iter().take_while(|end| **end <= bytes).count();
        open.length += if whole == 0 { 0 } else { ends[whole - 1] as u64 };
        if result.is_err() {
            // Half a line would spoil the next one. Where even that fails, the file is looked at anew.
            if open.file.set_len(open.length).is_err() {
                self.open = None;
            }
        }
        (whole, result)
    }

    /// The file, with room for the line.
    fn open_for(&mut self, line: &str, now: Instant) -> io::Result<&mut Open> {
        let is_over = self.open.as_ref().is_some_and(|open| {
            let is_old = open.begun.elapsed().is_ok_and(|age| age >= self.max_age);
            open.length > 0 && (is_old || open.length + line.len() as u64 >= self.max_size)
        });
        if is_over || self.open.is_none() {
            if self.tried.is_some_and(|tried| now.saturating_duration_since(tried) < PAUSE) {
                return Err(io::Error::other("it failed a moment ago"));
            }
            self.tried = Some(now);
            if is_over {
                self.rotate()?;
            }
            self.open = Some(open(&self.path)?);
            self.tried = None;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            None => Err(io::Error::other("it is not open")),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Somebody else may have taken one away.
        let unless_gone = |done: io::Result<()>| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if self.keep == 0 {
            unless_gone(fs::remove_file(&self.path))?;
        }
        for number in (0..self.keep).rev() {
            unless_gone(fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        self.open = None;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn open(path: &Path) -> io::Result<Open> {
    // Addresses and process names are in it: not for everybody.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    let mut length = metadata.len();
    if length > 0 && !ends_with_newline(&file, length)? {
        file.write_all(b"\n")?;
        length += 1;
    }
    // File systems that do not tell when a file was made tell when it was written.
    let begun = metadata.created().or_else(|_| metadata.modified())?;
    Ok(Open { file, length, begun })
}

fn ends_with_newline(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// As `write_all`, but says how far it came.
fn write_some(file: &mut File, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < text.len() {
        match file.write(&text[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests;
