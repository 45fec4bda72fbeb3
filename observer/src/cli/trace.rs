//! `observer trace`: reports as they happen, without a daemon.

use std::{
    fs::OpenOptions,
    io::BufWriter,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;

use super::output::{Format, Output};
use crate::{
    audit::Audit,
    cli::args::{audit::AuditArgs, filter::FilterArgs, kernel::KernelArgs},
    daemon::session::{Session, Watcher},
    event::Event,
    owner::Cgroups,
    report::Report,
    source::{
        clock::ClockOffset,
        recording::{FORMAT, Header, Recorder},
    },
};

/// Show closes as they happen; needs no daemon
///
/// Prints one line for each connection that ends, for each write that fails, and for each RST that is sent for no live
/// connection, until Ctrl-C or --limit. Times are UTC. A line comes about 70 ms after the connection has ended, or
/// 300 ms if its file descriptor stays open.
///
/// Exit status: 0 ended by Ctrl-C, SIGTERM or --limit, 2 error
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Also write all events to FILE, for `observer replay`; only its owner can read the file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Also compare the reports with the kernel's own counters, per network namespace
    #[arg(long)]
    audit: bool,
    #[command(flatten)]
    auditing: AuditArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    kernel: KernelArgs,
}

struct Trace {
    output: Output,
    recorder: Option<(PathBuf, Recorder<BufWriter<std::fs::File>>)>,
    audit: Option<Audit>,
    /// Lost records that are in the log already.
    lost_logged: u64,
    lost_read: Instant,
}

/// Time between two readings of the loss counters, each of which costs some system calls.
const LOST_INTERVAL: Duration = Duration::from_secs(1);

impl Trace {
    fn log_new_losses(&mut self, session: &Session) {
        let lost: u64 = session.lost().iter().map(|(_, lost)| lost).sum();
        if lost > self.lost_logged {
            let new = lost - self.lost_logged;
            log::warn!(
                "{new} records were lost ({lost} in all); verdicts of connections that were open then are missing or inferred"
            );
            self.lost_logged = lost;
        }
    }

    /// Logs all losses by reason, at the end.
    fn log_all_losses(session: &Session) {
        let lost = session.lost();
        let lost: Vec<_> = lost.iter().filter(|(_, lost)| *lost > 0).collect();
        if lost.is_empty() {
            return;
        }
        let by_reason: Vec<_> = lost.iter().map(|(reason, lost)| format!("{reason} {lost}")).collect();
        log::warn!(
            "lost records: {}; verdicts that may lack one have evidence \"inferred\" and missing \"records\"",
            by_reason.join(", ")
        );
    }
}

pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let mut session = Session::start(&args.kernel.settings())?;
    let clock = ClockOffset::now();
    let recorder = args.record.clone().map(|path| recorder(path, &session, clock)).transpose()?;
    let output = Output::new(args.output, clock, Cgroups::new());
    let output = output.filtered(args.filter.filter(), args.filter.limit());
    let audit = args.audit.then(|| Audit::start(args.auditing.pace(), &session.plan)).transpose()?;
    let mut trace = Trace { output, recorder, audit, lost_logged: 0, lost_read: Instant::now() };
    log::info!("ready: {} hooks attached by {}; Ctrl-C to stop", session.hooks(), session.mechanism());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(session.watch(&mut trace))?;
    trace.log_new_losses(&session);
    Trace::log_all_losses(&session);
    if let Some(audit) = &trace.audit {
        log::info!("audit: {}", audit.summary().text());
    }
    Ok(ExitCode::SUCCESS)
}

fn recorder(
    path: PathBuf,
    session: &Session,
    clock: ClockOffset,
) -> anyhow::Result<(PathBuf, Recorder<BufWriter<std::fs::File>>)> {
    // The file contains addresses and process names, so only its owner may read it.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("writing the recording {}", path.display()))?;
    let header = Header {
        recording: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: session.release.clone(),
        mechanism: session.mechanism().to_owned(),
        clock_offset_ns: clock,
    };
    let recorder = Recorder::new(BufWriter::new(file), &header);
    let recorder = recorder.with_context(|| format!("writing the recording {}", path.display()))?;
    Ok((path, recorder))
}

impl Watcher for Trace {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Some((path, recorder)) = &mut self.recorder {
            recorder.write(event).with_context(|| format!("writing the recording {}", path.display()))?;
        }
        Ok(())
    }

    fn added(&mut self, event: &Event) -> anyhow::Result<()> {
        self.event(event)
    }

    fn report(&mut self, report: &Report) {
        self.output.write(report);
        if let Some(audit) = &mut self.audit {
            audit.report(report);
        }
    }

    fn is_done(&self) -> bool {
        self.output.is_full()
    }

    fn batch(&mut self, session: &Session) -> anyhow::Result<()> {
        if let Some((path, recorder)) = &mut self.recorder {
            recorder.flush().with_context(|| format!("writing the recording {}", path.display()))?;
        }
        if self.lost_read.elapsed() >= LOST_INTERVAL {
            self.lost_read = Instant::now();
            self.log_new_losses(session);
        }
        self.output.refresh_clock();
        if let Some(audit) = &mut self.audit {
            let not_comparable = audit.not_comparable();
            audit.poll(session.passed_ns, &mut |compared| self.output.audit(compared, &not_comparable));
        }
        self.output.flush().context("writing to stdout")
    }
}
