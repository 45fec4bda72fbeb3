//! `observer half-closed`: connections of which one side has closed and the other has not, as of now.

use std::{
    io::{BufWriter, Write as _, stdout},
    num::NonZeroUsize,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::output::Format;
use super::terminal::width;
use crate::{
    cli::args::daemon::DaemonArgs,
    event::Comm,
    filter::AddressFilter,
    half_closed::{Fins, HalfClosed, Snapshot, Unseen, filter::HalfClosedFilter, snapshot},
    owner::Cgroups,
    query::{FinsLine, Request},
    render::half_closed::{json, table},
    words::Side,
};

/// Show connections that only one side has closed, with owner and age
///
/// A connection whose peer has closed (CLOSE_WAIT, side remote) waits for a process of this host to close too: when
/// such connections pile up, it has forgotten their descriptors. One that this host has closed (FIN_WAIT1 and
/// FIN_WAIT2, side local) waits for the peer. If its FIN still waits behind data in the send queue, the peer does not
/// know yet; JSON says so ("fin_sent": false).
///
/// The column FD says how the process owns the connection. A number is its file descriptor. "queue": no process has
/// accepted the connection; the process listens, and the connection waits in its accept queue. "closed": the process
/// closed the socket, and no process holds it any more. Only a daemon knows who closed.
///
/// Asks the kernel for its table of sockets, in every network namespace that has a process, so connections older
/// than the observer are shown too. Needs neither a daemon nor BPF. Without root, only this network namespace is
/// looked at, and only your own processes are named; what is missing is said on stderr.
///
/// The kernel does not keep when a FIN came. A running daemon knows when it saw the FIN, and is asked if you may ask it.
/// Without it an age with ">" before it (in JSON "at_least") is a lower bound, proved by the last ACK; "?" means that
/// nothing is known.
///
/// Exit status: 0 something is listed, 1 nothing is, 2 an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer half-closed --side remote               descriptors that somebody forgot to close
  observer half-closed --comm nginx --limit 20     the oldest of nginx
  observer half-closed --local :443 --output json  one JSON object a line")]
pub(crate) struct HalfClosedArgs {
    /// Only those that this side has closed, and the other has not
    #[arg(long, value_enum, value_name = "SIDE")]
    side: Option<SideArg>,
    /// Only those of the process with this id
    #[arg(long)]
    pid: Option<u32>,
    /// Only those of processes of this name
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Only those of processes of this systemd unit, such as nginx.service
    #[arg(long)]
    unit: Option<String>,
    /// Only those of processes of the container whose id begins so, or which has this name
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Only those with this address or port at our end
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    local: Option<AddressFilter>,
    /// Only those with this address or port at the peer's end
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    remote: Option<AddressFilter>,
    /// Only those with this port at either end
    #[arg(long)]
    port: Option<u16>,
    /// At most so many: the oldest
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// How results are written: a table, or one JSON object a line
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
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
    tell(unseen);
    let filter = args.filter();
    let mut cgroups = Cgroups::new();
    sockets.retain_mut(|socket| filter.keep(socket, &mut cgroups));
    if sockets.is_empty() {
        log::info!("no half-closed connection, or none that was asked for");
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

fn tell(unseen: Unseen) {
    let Unseen { namespaces, process_namespaces, process_descriptors } = unseen;
    if namespaces > 0 {
        log::warn!("network namespaces that may not be entered, and are left out: {namespaces}");
    }
    if process_namespaces > 0 {
        log::warn!(
            "processes whose network namespace may not be looked at: {process_namespaces}; what is only theirs is left out"
        );
    }
    if process_descriptors > 0 {
        log::warn!(
            "processes whose descriptors may not be looked at: {process_descriptors}; some owners are missing"
        );
    }
    // /proc/self belongs to the effective user.
    let root = procfs::process::Process::myself().and_then(|me| me.uid()).is_ok_and(|uid| uid == 0);
    if unseen != Unseen::default() && !root {
        log::info!("root sees all of it: try it with sudo");
    }
}

impl HalfClosedArgs {
    /// FINs that a daemon saw; none where none answers.
    fn fins(&self) -> Fins {
        let answer = || -> anyhow::Result<Fins> {
            let line = self.daemon.ask(&Request::Fins)?.next().context("the daemon's answer is empty")??;
            let line: FinsLine = serde_json::from_str(&line).context("reading the daemon's answer")?;
            Ok(line.fins.into_iter().map(|row| (row.endpoints, row.fin)).collect())
        };
        answer().unwrap_or_else(|error| {
            log::debug!("no daemon answers, so that ages are lower bounds: {error:#}");
            Fins::new()
        })
    }

    fn filter(&self) -> HalfClosedFilter {
        HalfClosedFilter {
            side: self.side.map(|side| match side {
                SideArg::Local => Side::Local,
                SideArg::Remote => Side::Remote,
            }),
            pid: self.pid,
            comm: self.comm.as_deref().map(Comm::from),
            unit: self.unit.clone(),
            container: self.container.clone(),
            local: self.local,
            remote: self.remote,
            port: self.port,
        }
    }
}
