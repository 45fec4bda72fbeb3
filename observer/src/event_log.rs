//! Reports → a log that stays: JSON lines in a file, entries in systemd's journal, or both.
//!
//! A thread of its own writes, so that a slow disk holds up nobody. What it cannot take or write is counted and told
//! once, and never ends the observer.

mod file;
mod journal;
mod writer;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use self::writer::Writer;
use crate::{
    classify::Outcome,
    config::{self, RecordedKinds},
    owner::Cgroups,
    render::{json, sentence},
    report::Report,
    source::clock::ClockOffset,
};

/// Batches that may wait for the disk: some seconds of them.
const QUEUE: usize = 256;

/// Why lines are lost, in the order of [`EventLog::lost`].
pub const LOST_REASONS: [&str; 2] = ["write_failed", "queue_full"];

/// One report, ready to be written.
struct LogLine {
    json: String,
    summary: String,
    kind: &'static str,
    cause: &'static str,
}

enum Order {
    Write(Vec<LogLine>),
    /// Also: open the file again, since somebody may have moved it.
    Change(config::EventLogSettings),
}

/// What the writer did so far, in lines.
#[derive(Default)]
struct Count {
    written: AtomicU64,
    failed: AtomicU64,
}

/// The near end of the log.
pub struct EventLog {
    settings: config::EventLogSettings,
    cgroups: Cgroups,
    lines: Vec<LogLine>,
    /// Settings that the writer has still to be told.
    change: Option<config::EventLogSettings>,
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
    count: Arc<Count>,
    too_many: u64,
}

impl EventLog {
    /// Starts the writer.
    pub fn start(settings: &config::EventLogSettings) -> std::io::Result<Self> {
        let (orders, ordered) = sync_channel(QUEUE);
        let count = Arc::new(Count::default());
        let writer = Writer::new(settings, Arc::clone(&count));
        let writer =
            thread::Builder::new().name("event-log".to_owned()).spawn(move || writer.run(&ordered))?;
        Ok(Self {
            settings: settings.clone(),
            cgroups: Cgroups::new(),
            lines: Vec::new(),
            change: None,
            orders: Some(orders),
            writer: Some(writer),
            count,
            too_many: 0,
        })
    }

    /// New settings, or the old ones: the file is opened again in either case.
    pub fn change(&mut self, settings: &config::EventLogSettings) {
        self.settings = settings.clone();
        self.change = Some(settings.clone());
    }

    /// Takes a report, if it is of those that are to be kept.
    pub fn report(&mut self, report: &Report, clock: ClockOffset) {
        if self.settings.is_off() {
            return;
        }
        let Some((kind, cause)) = recorded(&self.settings.record, report) else { return };
        let json = json::line(report, clock, &mut self.cgroups);
        self.lines.push(LogLine { json, summary: sentence::of(report), kind, cause });
    }

    /// Hands on what has gathered. Never waits.
    pub fn flush(&mut self) {
        let Some(orders) = &self.orders else { return };
        if let Some(settings) = self.change.take()
            && let Err(TrySendError::Full(Order::Change(settings))) = orders.try_send(Order::Change(settings))
        {
            self.change = Some(settings);
        }
        if self.lines.is_empty() {
            return;
        }
        let lines = mem::take(&mut self.lines);
        let number = lines.len() as u64;
        if orders.try_send(Order::Write(lines)).is_err() {
            if self.too_many == 0 {
                log::error!(
                    "the event log is too slow, lines are lost; observer_event_log_lost_total counts them"
                );
            }
            self.too_many += number;
        }
    }

    /// Lines that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.count.written.load(Ordering::Relaxed)
    }

    /// Lines that were lost, by [`LOST_REASONS`].
    #[must_use]
    pub fn lost(&self) -> [u64; 2] {
        [self.count.failed.load(Ordering::Relaxed), self.too_many]
    }

    /// Waits until all is written.
    pub fn finish(&mut self) {
        self.flush();
        // The writer ends with its orders.
        self.orders = None;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            log::error!("the event log's writer has panicked");
        }
    }
}

/// Kind and cause of a report that is to be kept.
fn recorded(wanted: &RecordedKinds, report: &Report) -> Option<(&'static str, &'static str)> {
    let (is_wanted, kind, cause) = match report {
        Report::Close(verdict) => {
            let is_wanted = match verdict.outcome {
                Outcome::Graceful => wanted.graceful,
                Outcome::ResetSent => wanted.reset_sent,
                Outcome::ResetReceived => wanted.reset_received,
                Outcome::TimedOut => wanted.timed_out,
                Outcome::Refused => wanted.refused,
                Outcome::Aborted => wanted.aborted,
                Outcome::Unknown => wanted.unknown,
            };
            (is_wanted, "close", verdict.cause.word())
        }
        Report::WriteError(failure) => (wanted.write_errors, "write_error", failure.verdict.cause.word()),
        Report::StrayReset(reset) => (wanted.stray_resets, "reset", reset.cause.word()),
        Report::LingerExpired(_) => (wanted.linger_expired, "linger_expired", "linger_expired"),
    };
    is_wanted.then_some((kind, cause))
}
