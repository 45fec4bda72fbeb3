//! The kinds of names by which owners are counted.

/// Which name stands for the owner of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerBy {
    /// Name of the process
    Comm,
    /// systemd unit
    Unit,
    /// Container id or name
    Container,
    /// No name: all owners are counted together
    None,
}
