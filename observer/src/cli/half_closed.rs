//! `observer half-closed`: connections that only one side has closed, at this moment.

use std::{
    io::{BufWriter, Write as _, stdout},
    num::NonZeroUsize,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{
    args::{connection::ConnectionArgs, daemon::DaemonArgs},
    output::Format,
    terminal::width,
};
use crate::{
    event::Comm,
    half_closed::{Fins, HalfClosed, Snapshot, Unseen, filter::HalfClosedFilter, snapshot},
    owner::Cgroups,
    query::{FinsLine, Request},
    render::half_closed::{json, table},
    words::Side,
};

/// Show connections that only one side has closed, with owner and age
///
/// Side remote: the peer has closed (CLOSE_WAIT), and the connection waits for a process of this host to close. If such
/// connections pile up, the process has forgotten to close their file descriptors. Side local: this host has closed
/// (FIN_WAIT1, FIN_WAIT2), and the connection waits for the peer. If the FIN still waits behind data in the send queue,
/// the peer does not know yet (JSON: "fin_sent": false).
///
/// The column FD shows how the process owns the connection. A number is its file descriptor. "queue": the process
/// listens, and has not accepted the connection yet. "closed": the process closed the socket, and no process holds it
/// any more; only a daemon knows which process closed.
///
/// This command reads the kernel's socket tables in all network namespaces that have a process. It also lists
/// connections that are older than the observer. It needs neither a daemon nor BPF. Without root, it reads only this
/// network namespace and names only your own processes; messages on stderr say what is missing.
///
/// The column AGE shows the time since the FIN. The kernel does not store it, so a running daemon is asked for it.
/// Without a daemon, an age with ">" (JSON: "at_least") is a lower bound from the last ACK; "?" is unknown.
///
/// Exit status: 0 listed, 1 no match, 2 error
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer half-closed --side remote               file descriptors that a process forgot to close
  observer half-closed --comm nginx --limit 20     the 20 oldest connections of nginx
  observer half-closed --local :443 --output json  one JSON object per line")]
pub(crate) struct HalfClosedArgs {
    /// Only connections that this side has closed, and the other has not
    #[arg(long, value_enum, value_name = "SIDE", help_heading = "Filters")]
    side: Option<SideArg>,
    /// Show at most N: the oldest
    #[arg(long, value_name = "N", help_heading = "Filters")]
    limit: Option<NonZeroUsize>,
    /// Output format: a table, or one JSON object per line
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
    // Last: a flattened struct with a heading also moves later arguments under it.
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SideArg {
    /// This host
    Local,
    /// The peer
    Remote,
}

pub(crate) fn run(args: &HalfClosedArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let Snapshot { ns, mut sockets, unseen } = snapshot(&args.fins(), |_orphans| Fins::new())?;
    log_unseen(unseen);
    let filter = args.filter();
    let mut cgroups = Cgroups::new();
    sockets.retain_mut(|socket| filter.keep(socket, &mut cgroups));
    if sockets.is_empty() {
        log::info!("no match: no half-closed connection passes the filters");
        return Ok(ExitCode::from(1));
    }
    let shown = args.limit.map_or(sockets.len(), |limit| limit.get().min(sockets.len()));
    write(args.output, ns, &sockets, shown, &mut cgroups).context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn write(
    format: Format,
    ns: u64,
    sockets: &[HalfClosed],
    shown: usize,
    cgroups: &mut Cgroups,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let listed = sockets.iter().take(shown);
    match format {
        Format::Text => {
            let listed: Vec<_> = listed.cloned().collect();
            for line in table::lines(&listed, width()) {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "{}", table::totals(sockets, shown))?;
        }
        Format::Json => {
            let time = json::time(ns);
            for socket in listed {
                writeln!(out, "{}", json::line(socket, &time, cgroups))?;
            }
        }
    }
    out.flush()
}

fn log_unseen(unseen: Unseen) {
    let Some(summary) = unseen.summary() else { return };
    log::warn!("{summary}");
    // /proc/self belongs to the effective user.
    let root = procfs::process::Process::myself().and_then(|me| me.uid()).is_ok_and(|uid| uid == 0);
    if !root {
        log::info!("use sudo to see everything");
    }
}

impl HalfClosedArgs {
    /// The FINs that a daemon saw. Empty if no daemon answers.
    fn fins(&self) -> Fins {
        let answer = || -> anyhow::Result<Fins> {
            let line = self.daemon.ask(&Request::Fins)?.next().context("the daemon's answer is empty")??;
            let line: FinsLine = serde_json::from_str(&line).context("reading the daemon's answer")?;
            Ok(line.fins.into_iter().map(|row| (row.endpoints, row.fin)).collect())
        };
        answer().unwrap_or_else(|error| {
            log::debug!("ages are lower bounds, since no daemon answers: {error:#}");
            Fins::new()
        })
    }

    fn filter(&self) -> HalfClosedFilter {
        let ConnectionArgs { pid, comm, unit, container, local, remote, port } = &self.connection;
        HalfClosedFilter {
            side: self.side.map(|side| match side {
                SideArg::Local => Side::Local,
                SideArg::Remote => Side::Remote,
            }),
            pid: *pid,
            comm: comm.as_deref().map(Comm::from),
            unit: unit.clone(),
            container: container.clone(),
            local: *local,
            remote: *remote,
            port: *port,
        }
    }
}
