//! Flags of the query socket and the limits of the history.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::paths::from_root;
use crate::config::{Config, unit};

/// The query socket, and the limits of the history.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queries")]
pub(crate) struct QueryArgs {
    /// Socket for `observer closes`, `status` and other queries [default: /run/observer/query.sock]
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Group whose members may query, besides root [default: the daemon's own group]
    #[arg(long, env = "OBSERVER_SOCKET_GROUP", value_name = "NAME")]
    socket_group: Option<String>,
    /// Maximum closes in the history [default: 100000]
    #[arg(long, env = "OBSERVER_HISTORY_CLOSES", value_name = "N")]
    history_closes: Option<usize>,
    /// Maximum write errors in the history [default: 25000]
    #[arg(long, env = "OBSERVER_HISTORY_ERRORS", value_name = "N")]
    history_errors: Option<usize>,
    /// Maximum memory for the history [default: 64MiB]
    #[arg(long, env = "OBSERVER_HISTORY_MAX_MEMORY", value_name = "SIZE", value_parser = unit::bytes::parse)]
    history_max_memory: Option<u32>,
    /// Maximum age in the history [default: 24h]
    #[arg(long, env = "OBSERVER_HISTORY_MAX_AGE", value_name = "SPAN", value_parser = unit::duration::parse)]
    history_max_age: Option<Duration>,
}

impl QueryArgs {
    /// Overrides the settings that have a flag.
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
