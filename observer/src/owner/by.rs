//! Which of its names stands for the owner of a connection.

/// What a connection's owner is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerBy {
    /// Name of the process
    Comm,
    /// systemd unit
    Unit,
    /// Container id or name
    Container,
    /// Nothing: all are counted together
    None,
}
