//! Reports → a permanent log: JSON lines in a file, entries in systemd's journal, or both.
//!
//! A thread of its own writes, so that a slow disk does not delay the draining loop. Lines that it cannot write, or for
//! which its queue is full, are counted and logged once. They never end the observer.

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

/// Batches that may wait for the disk: a few seconds of them.
const QUEUE: usize = 256;

/// Reasons for lost lines, in the order of [`EventLog::lost`].
pub const LOST_REASONS: [&str; 2] = ["write_failed", "queue_full"];

/// One report, rendered.
struct LogLine {
    json: String,
    summary: String,
    kind: &'static str,
    cause: &'static str,
}

/// A message to the writer.
enum Order {
    Write(Vec<LogLine>),
    /// Use these settings, and open the file again: it may have been moved.
    Change(config::EventLogSettings),
}

/// Lines that the writer wrote or failed to write.
#[derive(Default)]
struct Count {
    written: AtomicU64,
    failed: AtomicU64,
}

/// The draining loop's end of the log.
pub struct EventLog {
    settings: config::EventLogSettings,
    cgroups: Cgroups,
    lines: Vec<LogLine>,
    /// New settings that the writer does not have yet.
    change: Option<config::EventLogSettings>,
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
    count: Arc<Count>,
    /// Lines that found the queue full.
    queue_full: u64,
}

impl EventLog {
    /// Starts the writer's thread.
    ///
    /// # Errors
    /// The thread cannot be created.
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
            queue_full: 0,
        })
    }

    /// Applies new settings. Opens the file again, even if nothing has changed.
    pub fn change(&mut self, settings: &config::EventLogSettings) {
        self.settings = settings.clone();
        self.change = Some(settings.clone());
    }

    /// Takes a report, if the settings want it.
    pub fn report(&mut self, report: &Report, clock: ClockOffset) {
        if self.settings.is_off() {
            return;
        }
        let Some((kind, cause)) = recorded(&self.settings.record, report) else { return };
        let json = json::line(report, clock, &mut self.cgroups);
        self.lines.push(LogLine { json, summary: sentence::of(report), kind, cause });
    }

    /// Hands all lines to the writer. Never waits.
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
        let count = lines.len() as u64;
        if orders.try_send(Order::Write(lines)).is_err() {
            if self.queue_full == 0 {
                log::error!(
                    "the event log is too slow and loses lines; observer_event_log_lost_total counts them"
                );
            }
            self.queue_full += count;
        }
    }

    /// Lines written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.count.written.load(Ordering::Relaxed)
    }

    /// Lines lost since the start, by [`LOST_REASONS`].
    #[must_use]
    pub fn lost(&self) -> [u64; 2] {
        [self.count.failed.load(Ordering::Relaxed), self.queue_full]
    }

    /// Waits until all lines are written, and ends the writer.
    pub fn finish(&mut self) {
        self.flush();
        // The writer ends when its queue is closed.
        self.orders = None;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            log::error!("the event log's writer has panicked");
        }
    }
}

/// Kind and cause of a report. None if the settings do not want it.
fn recorded(wanted: &RecordedKinds, report: &Report) -> Option<(&'static str, &'static str)> {
    let (is_wanted, kind, cause) = match report {
        Report::Close(verdict) => {
            let is_wanted = match verdict.head.outcome {
                Outcome::Graceful => wanted.graceful,
                Outcome::ResetSent => wanted.reset_sent,
                Outcome::ResetReceived => wanted.reset_received,
                Outcome::TimedOut => wanted.timed_out,
                Outcome::Refused => wanted.refused,
                Outcome::Aborted => wanted.aborted,
                Outcome::Unknown => wanted.unknown,
            };
            (is_wanted, "close", verdict.head.cause.word())
        }
        Report::WriteError(failure) => (wanted.write_errors, "write_error", failure.verdict.cause.word()),
        Report::StrayReset(reset) => (wanted.stray_resets, "reset", reset.cause.word()),
        Report::LingerExpired(_) => (wanted.linger_expired, "linger_expired", "linger_expired"),
    };
    is_wanted.then_some((kind, cause))
}
