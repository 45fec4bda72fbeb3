//! The daemon's side of queries: its settings, and what it tells of itself.

use std::{
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use clap::Args;

use super::session::Session;
use crate::{
    attach::plan::Mechanism,
    config::{Config, Query, unit},
    publish::query::{
        socket::{Socket, SocketError},
        status::{Hook, Pulse},
    },
    source::clock::monotonic_ns,
};

/// How the daemon answers queries, and how much it remembers for them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queries")]
pub(crate) struct QueryArgs {
    /// Socket at which `observer closes` and its like ask [default: /run/observer/query.sock]
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Group whose members may ask, beside root [default: the observer's own]
    #[arg(long, env = "OBSERVER_SOCKET_GROUP", value_name = "NAME")]
    socket_group: Option<String>,
    /// Closes that are remembered [default: 100000]
    #[arg(long, env = "OBSERVER_HISTORY_CLOSES", value_name = "N")]
    history_closes: Option<usize>,
    /// Failing writes that are remembered [default: 25000]
    #[arg(long, env = "OBSERVER_HISTORY_ERRORS", value_name = "N")]
    history_errors: Option<usize>,
    /// Memory for both [default: 64MiB]
    #[arg(long, env = "OBSERVER_HISTORY_MAX_MEMORY", value_name = "SIZE", value_parser = unit::bytes::parse)]
    history_max_memory: Option<u32>,
    /// How old they may get [default: 24h]
    #[arg(long, env = "OBSERVER_HISTORY_MAX_AGE", value_name = "SPAN", value_parser = unit::duration::parse)]
    history_max_age: Option<Duration>,
}

impl QueryArgs {
    /// Makes these changes.
    pub(crate) fn change(&self, config: &mut Config) {
        let Self {
            socket,
            socket_group,
            history_closes,
            history_errors,
            history_max_memory,
            history_max_age,
        } = self;
        let Config { query, history, .. } = config;
        if let Some(path) = socket {
            query.socket = from_root(path);
        }
        if socket_group.is_some() {
            query.group.clone_from(socket_group);
        }
        history.closes = history_closes.unwrap_or(history.closes);
        history.errors = history_errors.unwrap_or(history.errors);
        history.max_memory = history_max_memory.unwrap_or(history.max_memory);
        history.max_age = history_max_age.unwrap_or(history.max_age);
    }
}

/// Who types a path means it from where he is.
pub(crate) fn from_root(path: &Path) -> PathBuf {
    // It fails when there is no such place any more; then what needs the path says so.
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Takes the socket.
pub(crate) fn bind(query: &Query, runtime: &tokio::runtime::Runtime) -> Result<Socket, SocketError> {
    let _inside = runtime.enter();
    Socket::bind(&query.socket, query.group.as_deref())
}

/// How the draining thread is now.
pub(crate) fn pulse(
    session: &Session,
    started_ns: u64,
    lost: Vec<(&'static str, u64)>,
    programs: Vec<(&'static str, u64, u64)>,
    [half_closed_blind, half_closed_unseen]: [Option<String>; 2],
) -> Pulse {
    let hooks = session.plan.hooks.iter().map(|hook| Hook {
        hook: hook.hook.name.to_owned(),
        mechanism: hook.mechanism.map_or("none", Mechanism::word).to_owned(),
        reason: hook.reason.clone(),
        fate: hook.fate.word().to_owned(),
    });
    Pulse {
        ns: monotonic_ns(),
        started_ns,
        kernel: session.release.clone(),
        hooks: hooks.collect(),
        closed: session.plan.closed.iter().map(ToString::to_string).collect(),
        unseen: session.plan.unseen(),
        half_closed_blind,
        half_closed_unseen,
        lost: lost.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        programs: programs.into_iter().map(|(name, run_ns, runs)| (name.to_owned(), run_ns, runs)).collect(),
        send_buffer_full: session.attached.send_buffer_full(),
        // The daemon's own.
        audit: None,
        tracked: session.pipeline.tracked(),
        not_taken: 0,
    }
}
