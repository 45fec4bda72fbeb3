//! `observer run`: the daemon, in the foreground.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context as _;
use clap::Args;

use super::{
    output::{Format, Output},
    session::{LOST_REASONS, RING_BYTES, Session, Watcher},
};
use crate::{
    attach::{plan::Mechanism, stats},
    event::Event,
    half_closed::{
        Unseen,
        gauges::{Gauges, gauges},
        lookout::Lookout,
        snapshot,
    },
    owner::Cgroups,
    pipeline::Pipeline,
    publish::{
        metrics::{Metrics, OwnerBy},
        server::{self, Health, Served, Server, Web},
    },
    report::Report,
    source::clock::ClockOffset,
};

/// Batches between looks at the kernel side's counters: about a second.
const SLOW_BATCHES: u32 = 20;

/// Run the daemon
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where metrics are served
    #[arg(long, env = "OBSERVER_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:9817")]
    listen: SocketAddr,
    /// TLS and passwords for what is served: a web configuration as Prometheus' exporters share it
    ///
    /// Known are tls_server_config with cert_file, key_file, client_ca_file, client_auth_type, min_version and
    /// max_version, basic_auth_users, and http_server_config with headers. The file, and what it names, may change
    /// while the daemon runs.
    #[arg(long, alias = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Let the kernel count the runs and the time of BPF programs (metrics observer_program_*)
    ///
    /// It then counts for every BPF program of this host, which makes each of their runs a little longer.
    #[arg(long)]
    program_stats: bool,
    /// Also write each verdict to stdout
    #[arg(long)]
    verdicts: bool,
    /// What the owner label of metrics holds
    #[arg(long, value_enum, default_value_t = OwnerBy::Comm)]
    owner: OwnerBy,
    /// Owners with a name of their own in metrics; later ones are counted as `other`
    #[arg(long, value_name = "N", default_value_t = 100)]
    owner_limit: usize,
}

struct Daemon {
    metrics: Metrics,
    verdicts: Option<Output>,
    health: Health,
    lookout: Lookout<(Gauges, Unseen)>,
    /// That looking fails was told, and it still does.
    blind: bool,
    /// That looking cannot see everything was told; once is enough.
    unseen_told: bool,
    batches: u32,
    lost_told: u64,
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // First, so that a second observer ends before it burdens the kernel.
    let listener = server::bind(args.listen)?;
    let web = args.web_config_file.as_deref().map_or_else(Web::open, Web::load)?;
    let address = listener.local_addr().context("asking for the port")?;
    let metrics = Metrics::new(args.owner, args.owner_limit, &LOST_REASONS).context("preparing metrics")?;
    let mut session = Session::start(RING_BYTES)?;
    for hook in &session.plan.hooks {
        metrics.hook(hook.entry.hook, hook.mechanism.map_or("none", Mechanism::word));
    }
    let verdicts = args.verdicts.then(|| Output::new(Format::Text, ClockOffset::now(), Cgroups::none()));
    // Counted for as long as it is held.
    let _stats = args.program_stats.then(stats::count).transpose()?;
    let registry = metrics.registry();
    let health = Health::new();
    let lookout = Lookout::new(Instant::now());
    let mut daemon = Daemon {
        metrics,
        verdicts,
        health: health.clone(),
        lookout,
        blind: false,
        unseen_told: false,
        batches: 0,
        lost_told: 0,
    };
    daemon.look(&session);
    let scheme = web.scheme();
    let server =
        Server::start(listener, Served { registry, health, web }).context("starting to serve metrics")?;
    let (hooks, mechanism) = (session.hooks(), session.mechanism());
    log::info!("ready: {hooks} hooks attached by {mechanism}; metrics at {scheme}://{address}/metrics");
    let watched = runtime.block_on(session.watch(&mut daemon));
    server.stop();
    watched?;
    Ok(ExitCode::SUCCESS)
}

impl Daemon {
    /// What costs system calls, and need not be asked for in every batch.
    fn look(&mut self, session: &Session) {
        for (program, run_ns, runs) in session.attached.run_stats() {
            self.metrics.program(program, run_ns, runs);
        }
        let mut lost = 0;
        for (reason, total) in session.lost() {
            self.metrics.lost(reason, total);
            lost += total;
        }
        if lost > self.lost_told {
            log::warn!("{} records were lost (all together {lost})", lost - self.lost_told);
            self.lost_told = lost;
        }
    }

    /// Half-closed connections: as the kernel's table has them, for how long as the stories know.
    fn half_closed(&mut self, pipeline: &Pipeline) {
        let look = || {
            let seen: HashMap<_, _> =
                pipeline.half_closed().map(|(ends, side, since_ns)| (ends, (side, since_ns))).collect();
            move || {
                let snapshot = snapshot(|ends, side| {
                    let (closed, since_ns) = *seen.get(ends)?;
                    (closed == side).then_some(since_ns)
                })?;
                Ok((gauges(&snapshot.sockets), snapshot.unseen))
            }
        };
        let Some(found) = self.lookout.poll(Instant::now(), look) else { return };
        self.metrics.half_closed(found.as_ref().ok().map(|(gauges, _)| gauges));
        // Told when it begins, not every time.
        match found {
            Err(error) => {
                if !std::mem::replace(&mut self.blind, true) {
                    log::warn!("half-closed connections are not counted: {:#}", anyhow::Error::from(error));
                }
            }
            Ok((_, unseen)) => {
                self.blind = false;
                if unseen != Unseen::default() && !std::mem::replace(&mut self.unseen_told, true) {
                    let Unseen { namespaces, elsewhere, processes } = unseen;
                    log::warn!(
                        "not all half-closed connections are counted, or have an owner: {namespaces} network \
                         namespaces, the namespaces of {elsewhere} processes and the descriptors of {processes} may \
                         not be looked at"
                    );
                }
            }
        }
    }
}

impl Watcher for Daemon {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.metrics.event(event);
        Ok(())
    }

    fn report(&mut self, report: &Report) {
        self.metrics.report(report);
        if let Some(output) = &mut self.verdicts {
            output.write(report);
        }
    }

    fn batch(&mut self, session: &Session) -> anyhow::Result<()> {
        self.health.beat();
        self.metrics.tracked(session.pipeline.tracked());
        self.batches = (self.batches + 1) % SLOW_BATCHES;
        if self.batches == 0 {
            self.look(session);
        }
        self.half_closed(&session.pipeline);
        if let Some(output) = &mut self.verdicts {
            output.refresh_clock();
            output.flush().context("writing to stdout")?;
        }
        Ok(())
    }
}
