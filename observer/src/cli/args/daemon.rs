//! `--socket`: which daemon is asked.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::DEFAULT_SOCKET,
    query::{
        Request,
        client::{self, ClientError, Lines},
    },
};

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Socket of the daemon
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

impl DaemonArgs {
    pub(crate) fn ask(&self, ask: &Request) -> Result<Lines, ClientError> {
        client::ask(&self.socket, ask)
    }
}
