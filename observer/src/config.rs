//! The settings of `observer run`: a YAML file → [`Config`], or every mistake in it.
//!
//! What a setting means, its unit and its default are written for people in `config/observer.yaml`, which holds all
//! of them; a test compares it with [`Config::default`]. A new setting is a field here, its line there, and where
//! some values make no sense a rule in `rules`.

mod mistake;
mod read;
mod rules;
mod spans;
pub(crate) mod unit;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use log::LevelFilter;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;
use thiserror::Error;

pub use self::mistake::{Mistake, Mistakes};
use crate::{
    attach::{answer::Mechanism, load, plan::Preferences},
    history,
    owner::OwnerBy,
    story::table::TableLimits,
};

/// The file with every setting, its default and its explanation.
pub const DEFAULTS: &str = include_str!("../../config/observer.yaml");

/// The query socket unless the settings say otherwise.
pub const DEFAULT_SOCKET: &str = "/run/observer/query.sock";

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where others reach the observer.
    pub listen: ListenSettings,
    /// The `owner` label of metrics.
    pub owner: OwnerSettings,
    /// Messages for people.
    pub log: LogSettings,
    /// What is asked of the kernel, and what is kept of it.
    pub kernel: KernelSettings,
    /// What is remembered for those who ask.
    pub history: HistorySettings,
    /// Who may ask, and where.
    pub query: QuerySettings,
    /// How metrics are protected.
    pub web: WebSettings,
    /// Verdicts that are kept.
    pub event_log: EventLogSettings,
}

/// `listen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// Metrics over HTTP.
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
    /// What it holds.
    pub by: OwnerBy,
    /// Values; 0 to 10,000.
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
    /// The least important messages that are shown.
    pub level: LogLevel,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing at all.
    Off,
    /// What ends or cripples the observer.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens once.
    Info,
    /// What may happen often.
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

/// `kernel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelSettings {
    /// How hooks are entered.
    pub mechanism: MechanismChoice,
    /// Hooks to leave out, as `observer check` names them.
    pub without: Vec<String>,
    /// Ring buffer, bytes: a power of two, 64 KiB to 1 GiB.
    #[serde(with = "unit::bytes")]
    pub ring_size: u32,
    /// Between two looks at the ring buffer; 1 to 1000 ms.
    #[serde(with = "unit::duration")]
    pub drain_interval: Duration,
    /// Connections whose end has begun; 1 to 10,000,000.
    pub stories: usize,
    /// Connections whose beginning is remembered; 0 to 100,000,000.
    pub openings: usize,
    /// Whether the kernel counts what BPF programs cost, all of this host's.
    pub program_stats: bool,
    /// Whether sends that find the buffer full are counted.
    pub count_send_buffer_full: bool,
}

impl Default for KernelSettings {
    fn default() -> Self {
        let TableLimits { stories, openings } = TableLimits::default();
        Self {
            mechanism: MechanismChoice::Auto,
            without: Vec::new(),
            // 100 ms of records at 250,000 a second, four times what two busy cores open and close.
            ring_size: 8 << 20,
            // No record wakes anybody: this and the stories' own waits are the delay of a verdict.
            drain_interval: Duration::from_millis(50),
            stories,
            openings,
            program_stats: false,
            count_send_buffer_full: false,
        }
    }
}

impl KernelSettings {
    /// What the table of stories may hold.
    #[must_use]
    pub const fn limits(&self) -> TableLimits {
        TableLimits { stories: self.stories, openings: self.openings }
    }

    /// What the programs are loaded with.
    #[must_use]
    pub const fn load(&self) -> load::LoadSettings {
        load::LoadSettings { ring_bytes: self.ring_size, count_send_buffer_full: self.count_send_buffer_full }
    }

    /// What the plan of attachment is to heed.
    #[must_use]
    pub fn preferences(&self) -> Preferences {
        let mechanism = match self.mechanism {
            MechanismChoice::Auto => None,
            MechanismChoice::Fentry => Some(Mechanism::Fentry),
            MechanismChoice::Kprobe => Some(Mechanism::Kprobe),
            MechanismChoice::RawTracepoint => Some(Mechanism::RawTracepoint),
        };
        Preferences { mechanism, without: self.without.clone() }
    }
}

/// How hooks are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum MechanismChoice {
    /// The best that this kernel accepts, for each hook by itself.
    Auto,
    /// BTF trampolines.
    Fentry,
    /// Breakpoints.
    Kprobe,
    /// Tracepoints without their formatting.
    RawTracepoint,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// Closes; 0 to 100,000,000.
    pub closes: usize,
    /// Failing writes; 0 to 100,000,000.
    pub errors: usize,
    /// Memory of both together, bytes; below 4 GiB.
    #[serde(with = "unit::bytes")]
    pub max_memory: u32,
    /// What is older is forgotten; 1 second to 10 years.
    #[serde(with = "unit::duration")]
    pub max_age: Duration,
}

impl Default for HistorySettings {
    fn default() -> Self {
        let history::HistoryLimits { closes, errors, bytes, age } = history::HistoryLimits::default();
        Self { closes, errors, max_memory: u32::try_from(bytes).unwrap_or(u32::MAX), max_age: age }
    }
}

impl HistorySettings {
    /// What the history may hold.
    #[must_use]
    pub fn limits(&self) -> history::HistoryLimits {
        history::HistoryLimits {
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
    /// Where questions are answered.
    pub socket: PathBuf,
    /// Whose members may ask, beside root; None is the group that the daemon runs as.
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
    /// TLS and passwords; None serves anybody who can connect.
    pub config_file: Option<PathBuf>,
}

/// `event_log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventLogSettings {
    /// JSON lines; None writes no file.
    pub path: Option<PathBuf>,
    /// A file this large is rotated; 4 KiB to 4 GiB.
    #[serde(with = "unit::bytes")]
    pub max_size: u32,
    /// A file this old is rotated; 1 minute to 10 years.
    #[serde(with = "unit::duration")]
    pub max_age: Duration,
    /// Rotated files; 0 to 1000.
    pub keep: usize,
    /// systemd's journal.
    pub journal: bool,
    /// Which reports.
    pub record: Recorded,
}

impl Default for EventLogSettings {
    fn default() -> Self {
        Self {
            path: None,
            max_size: 64 << 20,
            max_age: Duration::from_hours(24),
            keep: 7,
            journal: false,
            record: Recorded::default(),
        }
    }
}

impl EventLogSettings {
    /// Whether nothing is to be written anywhere.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.path.is_none() && !self.journal
    }
}

/// `event_log.record`: closes by outcome, and what else is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, clippy::struct_excessive_bools, reason = "one switch for each word of the JSON lines")]
pub struct Recorded {
    pub graceful: bool,
    pub reset_sent: bool,
    pub reset_received: bool,
    pub timed_out: bool,
    pub refused: bool,
    pub aborted: bool,
    pub unknown: bool,
    pub write_errors: bool,
    pub linger_expired: bool,
    pub stray_resets: bool,
}

impl Recorded {
    /// Whether anything is to be recorded.
    #[must_use]
    pub fn is_any(&self) -> bool {
        let none = Self {
            graceful: false,
            reset_sent: false,
            reset_received: false,
            timed_out: false,
            refused: false,
            aborted: false,
            unknown: false,
            write_errors: false,
            linger_expired: false,
            stray_resets: false,
        };
        *self != none
    }
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            graceful: false,
            reset_sent: true,
            reset_received: true,
            timed_out: true,
            refused: true,
            aborted: true,
            unknown: true,
            write_errors: true,
            linger_expired: true,
            // Whoever scans ports would fill the disk.
            stray_resets: false,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It can, and is wrong.
    #[error(transparent)]
    Wrong(#[from] Mistakes),
}

impl Config {
    /// Reads a file. Settings that it does not name have their defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|list| Mistakes::new(shown, list).into()),
            Err(source) => Err(ConfigError::Unreadable { path: shown, source }),
        }
    }

    /// Understands the text of a file, or finds everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::read(text)
    }

    /// What is wrong with settings that come from more than one place.
    pub fn check(&self) -> Result<(), Mistakes> {
        let found: Vec<_> = rules::broken(self).into_iter().map(|broken| broken.mistake(None)).collect();
        if found.is_empty() { Ok(()) } else { Err(Mistakes::new("settings".to_owned(), found)) }
    }

    /// The settings of `new`, but for those that cannot change while the observer runs.
    #[must_use]
    pub fn changed_live(&self, new: &Self) -> Self {
        // What programs are loaded with, and what takes rights that are given up.
        let loaded = self.kernel.clone();
        let kernel = KernelSettings {
            stories: new.kernel.stories,
            openings: new.kernel.openings,
            drain_interval: new.kernel.drain_interval,
            ..loaded
        };
        let (listen, query, web) = (self.listen.clone(), self.query.clone(), self.web.clone());
        Self { listen, kernel, query, web, ..new.clone() }
    }

    /// The names of the settings in which the two differ, such as `owner.limit`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names = Vec::new();
        differences("", &self.to_value(), &other.to_value(), &mut names);
        names
    }

    fn to_value(&self) -> Value {
        // Names, numbers and words: there is nothing that YAML could not say.
        serde_yaml::to_value(self).unwrap_or_default()
    }
}

fn differences(name: &str, one: &Value, other: &Value, names: &mut Vec<String>) {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            for (key, value) in one {
                let key_name = key.as_str().unwrap_or_default();
                let name = if name.is_empty() { key_name.to_owned() } else { format!("{name}.{key_name}") };
                differences(&name, value, other.get(key).unwrap_or(&Value::Null), names);
            }
        }
        _ if one == other => {}
        _ => names.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests;
