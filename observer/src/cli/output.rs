//! Reports on stdout.

use std::io::{self, BufWriter, StdoutLock, Write as _};

use clap::ValueEnum;

use crate::{
    audit::{Compared, counters::Counter},
    daemon::ReportSink,
    filter::Filter,
    owner::Cgroups,
    render::{audit, json, text},
    report::Report,
    source::clock::ClockOffset,
};

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line per report, with a sentence
    Text,
    /// One JSON object per line
    Json,
}

/// Buffered stdout. It is flushed once per batch, never in the middle of a line.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    format: Format,
    clock: ClockOffset,
    cgroups: Cgroups,
    filter: Filter,
    limit: u64,
    written: u64,
    failed: Option<io::Error>,
}

impl Output {
    pub(crate) fn new(format: Format, clock: ClockOffset, cgroups: Cgroups) -> Self {
        let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        Self {
            out,
            format,
            clock,
            cgroups,
            filter: Filter::default(),
            limit: u64::MAX,
            written: 0,
            failed: None,
        }
    }

    /// Writes only reports that match, and at most `limit` of them.
    pub(crate) fn filtered(self, filter: Filter, limit: Option<u64>) -> Self {
        Self { filter, limit: limit.unwrap_or(u64::MAX), ..self }
    }

    /// Whether the limit is reached.
    pub(crate) const fn is_full(&self) -> bool {
        self.written >= self.limit
    }

    /// Reads the offset of the wall clock again, since the clock may have been set.
    pub(crate) fn refresh_clock(&mut self) {
        self.clock = self.clock.refreshed();
    }

    /// Writes one report. [`Self::flush`] returns the error if this fails.
    pub(crate) fn write(&mut self, report: &Report) {
        if self.is_full() || !self.filter.fits(report, &mut self.cgroups) {
            return;
        }
        let line = match self.format {
            Format::Text => text::line(report, self.clock),
            Format::Json => json::line(report, self.clock, &mut self.cgroups),
        };
        self.written += 1;
        if let Err(error) = writeln!(self.out, "{line}") {
            self.failed.get_or_insert(error);
        }
    }

    /// Writes one comparison of the kernel's counters with the reports.
    pub(crate) fn audit(&mut self, compared: &Compared, not_comparable: &[Counter]) {
        let line = match self.format {
            Format::Text => audit::text(compared, self.clock),
            Format::Json => Some(audit::json(compared, not_comparable, self.clock)),
        };
        let Some(line) = line else { return };
        if let Err(error) = writeln!(self.out, "{line}") {
            self.failed.get_or_insert(error);
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.out.flush()
    }

    pub(crate) const fn written(&self) -> u64 {
        self.written
    }
}

impl ReportSink for Output {
    fn report(&mut self, report: &Report) {
        self.write(report);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.refresh_clock();
        Self::flush(self)
    }
}

/// Whether the error means that the reader of our output has gone.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
