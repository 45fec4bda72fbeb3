//! Filters by process and address, shared by all commands that list connections.

use clap::Args;

use crate::filter::AddressFilter;

/// Conditions on a connection and its process. All must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct ConnectionArgs {
    /// Only connections of the process with this id
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Only connections of processes with this name, such as nginx
    #[arg(long, value_name = "NAME")]
    pub(crate) comm: Option<String>,
    /// Only connections of this systemd unit, such as nginx.service
    #[arg(long)]
    pub(crate) unit: Option<String>,
    /// Only connections of this container: its name, or the first characters of its id
    #[arg(long, value_name = "ID")]
    pub(crate) container: Option<String>,
    /// Only connections with this local address or port
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    pub(crate) local: Option<AddressFilter>,
    /// Only connections with this remote address or port
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    pub(crate) remote: Option<AddressFilter>,
    /// Only connections with this local or remote port
    #[arg(long)]
    pub(crate) port: Option<u16>,
}
