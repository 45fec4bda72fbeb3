//! A file of lines that is rotated when it is too large or too old: `F` becomes `F.1`, up to `F.<keep>`.
//!
//! The caller counts lines that cannot be written. The file never holds half a line. It never grows beyond its limit,
//! even if it cannot be rotated.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::config;

/// Time between two attempts to open or rotate the file.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct LogFile {
    path: PathBuf,
    max_size: u64,
    max_age: Duration,
    keep: usize,
    open: Option<Open>,
    /// The last attempt that failed.
    tried: Option<Instant>,
}

struct Open {
    file: File,
    length: u64,
    begun: SystemTime,
}

impl LogFile {
    /// Does not touch the file yet.
    pub(super) fn new(path: &Path, settings: &config::EventLogSettings) -> Self {
        let config::EventLogSettings { max_size, max_age, keep, .. } = *settings;
        let (path, max_size) = (path.to_owned(), max_size.into());
        Self { path, max_size, max_age, keep, open: None, tried: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes lines. Returns how many of them are in the file now, and the error that stopped it.
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

    /// Writes as many lines as fit into the current file, at least one.
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
            // Remove half a line, which would spoil the next one. If that fails, open the file again.
            if open.file.set_len(open.length).is_err() {
                self.open = None;
            }
        }
        (whole, result)
    }

    /// The open file, with room for the line.
    fn open_for(&mut self, line: &str, now: Instant) -> io::Result<&mut Open> {
        let is_over = self.open.as_ref().is_some_and(|open| {
            let is_old = open.begun.elapsed().is_ok_and(|age| age >= self.max_age);
            open.length > 0 && (is_old || open.length + line.len() as u64 >= self.max_size)
        });
        if is_over || self.open.is_none() {
            if self.tried.is_some_and(|tried| now.saturating_duration_since(tried) < PAUSE) {
                return Err(io::Error::other("the last attempt failed less than a second ago"));
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
            None => Err(io::Error::other("the file is not open")),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Another program may have removed a file.
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
    // The file contains addresses and process names, so only its owner and group may read it.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    let mut length = metadata.len();
    if length > 0 && !ends_with_newline(&file, length)? {
        file.write_all(b"\n")?;
        length += 1;
    }
    // Not all file systems store the time of creation.
    let begun = metadata.created().or_else(|_| metadata.modified())?;
    Ok(Open { file, length, begun })
}

fn ends_with_newline(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// Like `write_all`, but also returns how many bytes were written.
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
