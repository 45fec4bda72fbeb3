//! The writer's thread: writes lines until its queue is closed, and counts written and lost ones.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    time::Instant,
};

use super::{Count, LogLine, Order, file::LogFile, journal::Journal};
use crate::config;

pub(super) struct Writer {
    file: Option<LogFile>,
    journal: Option<Journal>,
    count: Arc<Count>,
    /// Lines lost since writing began to fail; None while it works.
    failing: Option<u64>,
}

impl Writer {
    pub(super) fn new(settings: &config::EventLogSettings, count: Arc<Count>) -> Self {
        let mut writer = Self { file: None, journal: None, count, failing: None };
        writer.change(settings);
        writer
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        for order in orders {
            match order {
                Order::Write(lines) => self.write(&lines),
                Order::Change(settings) => self.change(&settings),
            }
        }
    }

    fn change(&mut self, settings: &config::EventLogSettings) {
        self.file = settings.path.as_ref().map(|path| LogFile::new(path, settings));
        self.journal = settings.journal.then(Journal::default);
    }

    fn write(&mut self, lines: &[LogLine]) {
        let mut written = lines.len();
        let mut failed = None;
        if let Some(file) = &mut self.file {
            let texts: Vec<_> = lines.iter().map(|line| line.json.as_str()).collect();
            let (kept, result) = file.write(&texts, Instant::now());
            written = written.min(kept);
            failed = result.err().map(|error| (file.path().display().to_string(), error));
        }
        if let Some(journal) = &mut self.journal {
            let (kept, result) = journal.write(lines);
            written = written.min(kept);
            failed = failed.or(result.err().map(|error| ("systemd's journal".to_owned(), error)));
        }
        let lost = (lines.len() - written) as u64;
        self.count.written.fetch_add(written as u64, Ordering::Relaxed);
        self.count.failed.fetch_add(lost, Ordering::Relaxed);
        self.log_failure(lost, failed);
    }

    /// Logs a failure once when it begins and once when it ends.
    fn log_failure(&mut self, lost: u64, failed: Option<(String, io::Error)>) {
        match (failed, self.failing) {
            (Some((place, error)), None) => {
                log::error!(
                    "the event log cannot be written to {place}; lines are lost until this works again: {error}"
                );
                self.failing = Some(lost);
            }
            (Some(_), Some(before)) => self.failing = Some(before + lost),
            (None, Some(before)) => {
                log::warn!("the event log is written again; {before} lines were lost");
                self.failing = None;
            }
            (None, None) => {}
        }
    }
}
