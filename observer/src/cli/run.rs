//! `observer run`: the daemon, in the foreground. Scrapes and queries are served on threads of their own.

mod manager;
mod rights;
mod settings;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;

use self::{
    manager::Watchdog,
    settings::{SettingArgs, Settings},
};
use super::{
    audit::AuditArgs,
    output::{Format, Output},
    queries::{self, pulse},
    session::{LOST_REASONS, Session, Watcher, require_root},
};
use crate::{
    attach::stats,
    audit::Audit,
    event::Event,
    half_closed::{
        Fin, Fins, Unseen,
        gauges::{Gauges, gauges},
        lookout::Lookout,
        snapshot,
    },
    owner::Cgroups,
    pipeline::Pipeline,
    publish::{
        event_log::EventLog,
        metrics::Metrics,
        query::{Feeder, serve_in_thread},
        server::{self, Health, Served, Server, Web},
    },
    report::Report,
    source::clock::{ClockOffset, monotonic_ns},
};

/// Between looks at the kernel side's counters.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Run the daemon in the foreground, with Prometheus metrics
///
/// Stays until SIGTERM or Ctrl-C. SIGHUP has it read its configuration again. Metrics are at http://127.0.0.1:9817/metrics
/// unless told otherwise; `observer closes`, `errors`, `top`, `explain` and `status` ask it. Messages go to stderr;
/// OBSERVER_LOG (off, error, warn, info, debug) beats log.level.
///
/// Exit status: 0 it was told to end, 2 an error.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Also write each verdict to stdout
    #[arg(long)]
    verdicts: bool,
    #[command(flatten)]
    auditing: AuditArgs,
}

struct Daemon {
    settings: Settings,
    watchdog: Watchdog,
    metrics: Metrics,
    queries: Feeder,
    started_ns: u64,
    verdicts: Option<Output>,
    event_log: EventLog,
    clock: ClockOffset,
    health: Health,
    audit: Audit,
    lookout: Lookout<(Gauges, Unseen)>,
    /// Why looking fails; told when it begins.
    blind: Option<String>,
    /// What looking cannot see, and whether that was told; once is enough.
    unseen: Option<String>,
    unseen_told: bool,
    looked: Instant,
    lost_told: u64,
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    let config = args.settings.read()?;
    super::log::limit(config.log.level.into());
    require_root()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // First, so that a second observer ends before it burdens the kernel.
    let listener = server::bind(config.listen.address)?;
    let web = config.web.config_file.as_deref().map_or_else(Web::open, Web::load)?;
    let address = listener.local_addr().context("asking for the port")?;
    // Likewise.
    let socket = queries::bind(&config.query, &runtime)?;
    let metrics =
        Metrics::new(config.owner.by, config.owner.limit, &LOST_REASONS).context("preparing metrics")?;
    let mut session = Session::start(&config.kernel)?;
    // Counted for as long as it is held.
    let _stats = config.kernel.program_stats.then(stats::count).transpose()?;
    rights::drop(&session.attached)?;
    for hook in &session.plan.hooks {
        metrics.hook(hook.hook.name, hook.label());
    }
    for refusal in session.plan.refusals() {
        log::info!("{refusal}; `observer status` shows what stands in for it");
    }
    for unseen in session.plan.unseen() {
        log::warn!("{unseen}");
    }
    if config.kernel.count_send_buffer_full && session.attached.send_buffer_full().is_none() {
        log::warn!("sends that find the buffer full cannot be counted: no hook sees them");
    }
    let verdicts = args.verdicts.then(|| Output::new(Format::Text, ClockOffset::now(), Cgroups::none()));
    let registry = metrics.registry();
    let remembered = config.history.limits();
    let event_log = EventLog::start(&config.event_log).context("starting the event log")?;
    let settings = {
        let _signals = runtime.enter();
        Settings::new(&args.settings, config).context("waiting for SIGHUP")?
    };
    let queried_at = socket.path().display().to_string();
    let (queries, answering) = serve_in_thread(socket, remembered)?;
    let health = Health::new();
    let audit = args.auditing.start(&session)?;
    let mut daemon = Daemon {
        settings,
        watchdog: Watchdog::new(),
        metrics,
        queries,
        started_ns: monotonic_ns(),
        verdicts,
        event_log,
        clock: ClockOffset::now(),
        health: health.clone(),
        audit,
        lookout: Lookout::new(Instant::now()),
        blind: None,
        unseen: None,
        unseen_told: false,
        looked: Instant::now(),
        lost_told: 0,
    };
    daemon.look(&session);
    let scheme = web.scheme();
    let server =
        Server::start(listener, Served { registry, health, web }).context("starting to serve metrics")?;
    let (hooks, mechanism) = (session.hooks(), session.mechanism());
    log::info!("queries are answered at {queried_at}");
    let ready = format!("{hooks} hooks attached by {mechanism}; metrics at {scheme}://{address}/metrics");
    log::info!("ready: {ready}");
    manager::ready(&ready);
    let watched = runtime.block_on(session.watch(&mut daemon));
    manager::stopping();
    server.stop();
    daemon.event_log.finish();
    // Its thread ends, and takes the socket's file away, when nothing more can come.
    drop(daemon);
    if answering.join().is_err() {
        bail!("the thread that answered queries has panicked");
    }
    watched.map(|()| ExitCode::SUCCESS)
}

impl Daemon {
    /// What costs system calls, and need not be asked for in every batch.
    fn look(&mut self, session: &Session) {
        let programs = session.attached.run_stats();
        for (program, run_ns, runs) in &programs {
            self.metrics.program(program, *run_ns, *runs);
        }
        self.metrics.event_log(&self.event_log);
        if let Some(total) = session.attached.send_buffer_full() {
            self.metrics.send_buffer_full(total);
        }
        let losses = session.lost();
        let mut lost = 0;
        for (reason, total) in &losses {
            self.metrics.lost(reason, *total);
            lost += total;
        }
        if lost > self.lost_told {
            log::warn!("{} records were lost (all together {lost})", lost - self.lost_told);
            self.lost_told = lost;
        }
        let half_closed = [self.blind.clone(), self.unseen.clone()];
        let mut pulse = pulse(session, self.started_ns, losses, programs, half_closed);
        pulse.audit = Some(self.audit.summary());
        self.queries.pulse(pulse);
        self.looked = Instant::now();
    }

    /// Half-closed connections: as the kernel's table has them. For how long, and who closed, the stories know; of
    /// connections whose verdict has been given, the history knows.
    fn half_closed(&mut self, pipeline: &Pipeline) {
        let queries = &mut self.queries;
        let look = || {
            let seen = fins(pipeline);
            queries.fins(Arc::clone(&seen));
            let remembered = queries.remembered();
            move || {
                let snapshot = snapshot(&seen, |orphans| remembered.fins(orphans))?;
                Ok((gauges(&snapshot.sockets), snapshot.unseen))
            }
        };
        let Some(found) = self.lookout.poll(Instant::now(), look) else { return };
        self.metrics.half_closed(found.as_ref().ok().map(|(gauges, unseen)| (gauges, *unseen)));
        // Told when it begins, not every time.
        match found {
            Err(error) => {
                let error =
                    format!("half-closed connections are not counted: {:#}", anyhow::Error::from(error));
                if self.blind.is_none() {
                    log::warn!("{error}");
                }
                self.blind = Some(error);
            }
            Ok((_, unseen)) => {
                self.blind = None;
                self.unseen = unseen.told();
                if let Some(unseen) = &self.unseen
                    && !std::mem::replace(&mut self.unseen_told, true)
                {
                    log::warn!("{unseen}");
                }
            }
        }
    }
}

/// FINs of the connections that are half-closed now, as far as they are still open.
fn fins(pipeline: &Pipeline) -> Arc<Fins> {
    Arc::new(pipeline.half_closed().filter_map(Fin::of_story).collect())
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
        self.queries.report(report);
        if let Some(output) = &mut self.verdicts {
            output.write(report);
        }
    }

    fn batch(&mut self, session: &Session) -> anyhow::Result<()> {
        self.health.beat();
        self.watchdog.feed();
        self.metrics.tracked(session.pipeline.tracked());
        self.queries.flush();
        if self.looked.elapsed() >= LOOK_INTERVAL {
            self.look(session);
        }
        if self.queries.wants_fins() {
            self.queries.fins(fins(&session.pipeline));
        }
        self.half_closed(&session.pipeline);
        if self.audit.poll(session.passed_ns, &mut |_| ()) {
            self.metrics.audit(&self.audit.summary());
        }
        self.event_log.flush();
        self.clock = self.clock.refreshed();
        if let Some(output) = &mut self.verdicts {
            output.refresh_clock();
            output.flush().context("writing to stdout")?;
        }
        Ok(())
    }

    fn settings(&mut self, session: &mut Session) {
        if !self.settings.is_asked() {
            return;
        }
        manager::reloading();
        let old = self.settings.reload();
        manager::reloaded();
        // Unchanged too: whoever moves the file away asks for a new one so.
        self.event_log.change(&self.settings.now.event_log);
        let Some(old) = old else { return };
        let new = &self.settings.now;
        super::log::limit(new.log.level.into());
        session.change(&new.kernel);
        self.queries.limit(new.history.limits());
        // Names would be given anew, for nothing.
        if new.owner != old.owner {
            self.metrics.set_owners(new.owner.by, new.owner.limit);
        }
    }
}
