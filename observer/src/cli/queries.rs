//! The daemon's side of queries: its settings, and what it tells of itself.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::session::Session;
use crate::{
    attach::plan::Mechanism,
    history::Limits,
    publish::query::{
        SOCKET,
        socket::{Socket, SocketError},
        status::{Hook, Pulse},
    },
    source::clock::monotonic_ns,
};

/// How the daemon answers queries, and how much it remembers for them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Queries")]
pub(crate) struct QueryArgs {
    /// Socket at which `observer closes` and its like ask
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// Group whose members may ask, beside root
    #[arg(long, value_name = "NAME")]
    socket_group: Option<String>,
    /// Closes that are remembered
    #[arg(long, value_name = "N", default_value_t = Limits::default().closes)]
    history_closes: usize,
    /// Failing writes that are remembered
    #[arg(long, value_name = "N", default_value_t = Limits::default().errors)]
    history_errors: usize,
    /// Memory for both, MiB
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().bytes >> 20)]
    history_mib: usize,
    /// Hours after which they are forgotten
    #[arg(long, value_name = "HOURS", default_value_t = Limits::default().age.as_secs() / 3600)]
    history_hours: u64,
}

impl QueryArgs {
    /// Takes the socket.
    pub(crate) fn bind(&self, runtime: &tokio::runtime::Runtime) -> Result<Socket, SocketError> {
        let _inside = runtime.enter();
        Socket::bind(&self.socket, self.socket_group.as_deref())
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            closes: self.history_closes,
            errors: self.history_errors,
            bytes: self.history_mib.saturating_mul(1 << 20),
            age: Duration::from_secs(self.history_hours.saturating_mul(3600)),
        }
    }
}

/// How the draining thread is now.
pub(crate) fn pulse(session: &Session, started_ns: u64) -> Pulse {
    let hooks = session.plan.hooks.iter().map(|hook| Hook {
        hook: hook.hook.name.to_owned(),
        mechanism: hook.mechanism.map_or("none", Mechanism::word).to_owned(),
        reason: hook.reason.clone(),
    });
    let programs = session.attached.run_stats().into_iter();
    Pulse {
        ns: monotonic_ns(),
        started_ns,
        kernel: session.release.clone(),
        hooks: hooks.collect(),
        lost: session.lost().into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        programs: programs.map(|(name, run_ns, runs)| (name.to_owned(), run_ns, runs)).collect(),
        tracked: session.pipeline.tracked(),
        not_taken: 0,
    }
}
