//! The small sections: `listen`, `owner`, `log`, `history`, `query` and `web`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use log::LevelFilter;
use serde::{Deserialize, Serialize};

use super::unit;
use crate::{history::HistoryLimits, owner::OwnerBy};

/// The query socket unless the settings name another.
pub const DEFAULT_SOCKET: &str = "/run/observer/query.sock";

/// `listen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// Address and port of the metrics over HTTP.
    pub address: SocketAddr,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9817)) }
    }
}

/// `owner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnerSettings {
    /// Which name of the owner becomes the label's value.
    pub by: OwnerBy,
    /// Number of label values; 0 to 10,000.
    pub limit: usize,
}

impl Default for OwnerSettings {
    fn default() -> Self {
        Self { by: OwnerBy::Comm, limit: 100 }
    }
}

/// `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Least severe messages to show.
    pub level: LogLevel,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

/// Severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Shows no message.
    Off,
    /// The observer ends, or misses a main part of its work.
    Error,
    /// Somebody should check.
    Warn,
    /// Happens once.
    Info,
    /// May happen often.
    Debug,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// Closes; 0 to 100,000,000.
    pub closes: usize,
    /// Failing writes; 0 to 100,000,000.
    pub errors: usize,
    /// Memory for both, bytes; below 4 GiB.
    #[serde(with = "unit::bytes")]
    pub max_memory: u32,
    /// Age at which entries are dropped; 1 second to 10 years.
    #[serde(with = "unit::duration")]
    pub max_age: Duration,
}

impl Default for HistorySettings {
    fn default() -> Self {
        let HistoryLimits { closes, errors, bytes, age } = HistoryLimits::default();
        Self { closes, errors, max_memory: u32::try_from(bytes).unwrap_or(u32::MAX), max_age: age }
    }
}

impl HistorySettings {
    /// The same as limits of a history.
    #[must_use]
    pub fn limits(&self) -> HistoryLimits {
        HistoryLimits {
            closes: self.closes,
            errors: self.errors,
            bytes: usize::try_from(self.max_memory).unwrap_or(usize::MAX),
            age: self.max_age,
        }
    }
}

/// `query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Path of the socket that answers queries.
    pub socket: PathBuf,
    /// Group whose members may ask, besides root. None means the group that the daemon runs as.
    pub group: Option<String>,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self { socket: PathBuf::from(DEFAULT_SOCKET), group: None }
    }
}

/// `web`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSettings {
    /// File with TLS certificates and passwords. None serves everybody who can connect.
    pub config_file: Option<PathBuf>,
}
