//! `--socket`: the daemon that a command asks.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::DEFAULT_SOCKET,
    query::{
        Request,
        client::{self, ClientError, Lines},
    },
};

/// The daemon that the command asks.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// The daemon's socket
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

impl DaemonArgs {
    pub(crate) fn ask(&self, request: &Request) -> Result<Lines, ClientError> {
        client::ask(&self.socket, request)
    }
}
