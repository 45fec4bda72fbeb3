//! The daemon: drains the kernel, and serves metrics, queries and the event log from threads of their own.
//!
//! [`run()`] is what `observer run` calls once the settings are read. [`session`] is the part that `trace` and `check`
//! use too: attach, drain on a timer, report.

mod half_closed;
pub(crate) mod reload;
mod rights;
mod service_manager;
pub(crate) mod session;
mod status;

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use self::{
    half_closed::HalfClosedGauges,
    reload::{Reload, Reread},
    service_manager::Watchdog,
    session::{LOST_REASONS, Session, Watcher, require_root},
};
use crate::{
    attach::stats,
    audit::{Audit, Pace},
    config::Config,
    console_log,
    event::Event,
    event_log::EventLog,
    http::{self, Health, Served, Server, Web},
    metrics::Metrics,
    query::{HistorySender, serve_in_thread, socket::QuerySocket},
    report::Report,
    source::clock::{ClockOffset, monotonic_ns},
};

/// Time between two updates of the counters that cost system calls.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);

/// A place for reports beside metrics, history and event log, such as the terminal.
pub(crate) trait ReportSink {
    /// Takes one report. An error is kept for [`Self::flush`].
    fn report(&mut self, report: &Report);
    /// Ends a batch.
    fn flush(&mut self) -> io::Result<()>;
}

/// Everything that the daemon needs to run.
pub(crate) struct Options {
    /// The settings.
    pub(crate) config: Config,
    /// Reads the settings again on SIGHUP. None leaves SIGHUP to the kernel, which ends the process.
    pub(crate) reread: Option<Reread>,
    /// Also gets every report.
    pub(crate) verdicts: Option<Box<dyn ReportSink>>,
    /// Time between two comparisons with the kernel's counters.
    pub(crate) audit_pace: Pace,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// A missing right, an address or socket in use, a kernel without the needed hooks, or a broken stdout.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let Options { config, reread, verdicts, audit_pace } = options;
    console_log::set_level(config.log.level.into());
    require_root()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Bind before attaching, so that a second observer ends before it burdens the kernel.
    let listener = http::bind(config.listen.address)?;
    let web = config.web.config_file.as_deref().map_or_else(Web::open, Web::load)?;
    let address = listener.local_addr().context("reading the address of the metrics socket")?;
    let socket = {
        let _inside = runtime.enter();
        QuerySocket::bind(&config.query.socket, config.query.group.as_deref())?
    };
    let metrics =
        Metrics::new(config.owner.by, config.owner.limit, &LOST_REASONS).context("preparing metrics")?;
    let mut session = Session::start(&config.kernel)?;
    // The kernel measures BPF programs as long as this exists.
    let _stats = config.kernel.program_stats.then(stats::count).transpose()?;
    // Threads inherit the remaining capabilities, so none may start before this.
    rights::drop(&session.attached)?;
    announce(&session, &metrics, &config);
    let registry = metrics.registry();
    let event_log = EventLog::start(&config.event_log).context("starting the event log")?;
    let limits = config.history.limits();
    let reload = {
        let _signals = runtime.enter();
        Reload::new(reread, config).context("waiting for SIGHUP")?
    };
    let socket_path = socket.path().display().to_string();
    let (history, answering) = serve_in_thread(socket, limits)?;
    let health = Health::new();
    let audit =
        Audit::start(audit_pace, &session.plan).context("starting a thread to read the kernel's counters")?;
    let mut daemon = Daemon {
        reload,
        watchdog: Watchdog::new(),
        metrics,
        history,
        started_ns: monotonic_ns(),
        verdicts,
        event_log,
        clock: ClockOffset::now(),
        health: health.clone(),
        audit,
        half_closed: HalfClosedGauges::new(),
        counters_read: Instant::now(),
        lost_logged: 0,
    };
    daemon.read_counters(&session);
    let scheme = web.scheme();
    let server =
        Server::start(listener, Served { registry, health, web }).context("starting to serve metrics")?;
    let (hooks, mechanism) = (session.hooks(), session.mechanism());
    log::info!("queries are answered at {socket_path}");
    let ready = format!("{hooks} hooks attached by {mechanism}; metrics at {scheme}://{address}/metrics");
    log::info!("ready: {ready}");
    service_manager::ready(&ready);
    let watched = runtime.block_on(session.watch(&mut daemon));
    service_manager::stopping();
    server.stop();
    daemon.event_log.finish();
    // The query thread ends with its sender, and removes the socket's file.
    drop(daemon);
    if answering.join().is_err() {
        bail!("the thread that answers queries has panicked");
    }
    watched
}

/// Says which hooks are attached, and what cannot be seen.
fn announce(session: &Session, metrics: &Metrics, config: &Config) {
    for hook in &session.plan.hooks {
        metrics.hook(hook.hook.name, hook.label());
    }
    for refusal in session.plan.refusals() {
        log::info!("{refusal} (see `observer check`)");
    }
    for unseen in session.plan.unseen() {
        log::warn!("{unseen}");
    }
    if config.kernel.count_send_buffer_full && session.attached.send_buffer_full().is_none() {
        log::warn!("cannot count sends that fail since the buffer is full: no hook sees them");
    }
}

struct Daemon {
    reload: Reload,
    watchdog: Watchdog,
    metrics: Metrics,
    history: HistorySender,
    started_ns: u64,
    verdicts: Option<Box<dyn ReportSink>>,
    event_log: EventLog,
    clock: ClockOffset,
    health: Health,
    audit: Audit,
    half_closed: HalfClosedGauges,
    counters_read: Instant,
    lost_logged: u64,
}

impl Daemon {
    /// Reads the counters that cost system calls. Once per second is enough.
    fn read_counters(&mut self, session: &Session) {
        let programs = session.attached.run_stats();
        for (program, run_ns, runs) in &programs {
            self.metrics.program(program, *run_ns, *runs);
        }
        self.metrics.event_log(self.event_log.written(), self.event_log.lost());
        if let Some(total) = session.attached.send_buffer_full() {
            self.metrics.send_buffer_full(total);
        }
        let losses = session.lost();
        let mut lost = 0;
        for (reason, total) in &losses {
            self.metrics.lost(reason, *total);
            lost += total;
        }
        if lost > self.lost_logged {
            log::warn!("{} records were lost ({lost} in all)", lost - self.lost_logged);
            self.lost_logged = lost;
        }
        let mut status = status::of(session, self.started_ns, losses, programs);
        status.half_closed_blind.clone_from(&self.half_closed.failure);
        status.half_closed_unseen.clone_from(&self.half_closed.unseen);
        status.audit = Some(self.audit.summary());
        self.history.status(Box::new(status));
        self.counters_read = Instant::now();
    }
}

impl Watcher for Daemon {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.metrics.event(event);
        Ok(())
    }

    fn report(&mut self, report: &Report) {
        self.metrics.report(report);
        self.audit.report(report);
        self.event_log.report(report, self.clock);
        self.history.report(report);
        if let Some(sink) = &mut self.verdicts {
            sink.report(report);
        }
    }

    fn batch(&mut self, session: &Session) -> anyhow::Result<()> {
        self.health.beat();
        self.watchdog.feed();
        self.metrics.tracked(session.pipeline.tracked());
        self.history.flush();
        if self.counters_read.elapsed() >= COUNTERS_INTERVAL {
            self.read_counters(session);
        }
        if self.history.fins_requested() {
            self.history.fins(half_closed::fins(&session.pipeline));
        }
        self.half_closed.poll(&session.pipeline, &mut self.history, &mut self.metrics);
        if self.audit.poll(session.passed_ns, &mut |_| ()) {
            self.metrics.audit(&self.audit.summary());
        }
        self.event_log.flush();
        self.clock = self.clock.refreshed();
        if let Some(sink) = &mut self.verdicts {
            sink.flush().context("writing to stdout")?;
        }
        Ok(())
    }

    fn settings(&mut self, session: &mut Session) {
        if !self.reload.is_requested() {
            return;
        }
        service_manager::reloading();
        let old = self.reload.reload();
        service_manager::reloaded();
        // Even without a change: the file may have been moved, and is then created anew.
        self.event_log.change(&self.reload.config.event_log);
        let Some(old) = old else { return };
        let new = &self.reload.config;
        console_log::set_level(new.log.level.into());
        session.change(&new.kernel);
        self.history.set_limits(new.history.limits());
        // Without this check, every reload would start the owner labels anew.
        if new.owner != old.owner {
            self.metrics.set_owners(new.owner.by, new.owner.limit);
        }
    }
}
