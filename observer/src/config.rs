//! The settings of `observer run`: the text of a YAML file → [`Config`], or every mistake in it.
//!
//! `config/observer.yaml` explains each setting to users, with its unit and default. A test compares that file with
//! [`Config::default`]. A new setting needs a field in its section, its line in that file, and a rule in `rules` if
//! some values make no sense.

mod event_log;
mod kernel;
mod mistake;
mod read;
mod rules;
mod sections;
mod spans;
pub(crate) mod unit;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_yaml::Value;
use thiserror::Error;

pub use self::{
    event_log::{EventLogSettings, RecordedKinds},
    kernel::{KernelSettings, MechanismChoice},
    mistake::{Mistake, Mistakes},
    sections::{
        DEFAULT_SOCKET, HistorySettings, ListenSettings, LogLevel, LogSettings, OwnerSettings, QuerySettings,
        WebSettings,
    },
};

/// The text of `config/observer.yaml`: every setting with its default and explanation.
pub const DEFAULTS: &str = include_str!("../../config/observer.yaml");

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of the metrics.
    pub listen: ListenSettings,
    /// The `owner` label of metrics.
    pub owner: OwnerSettings,
    /// Messages for people.
    pub log: LogSettings,
    /// Hooks, buffers and tables.
    pub kernel: KernelSettings,
    /// Limits of the history.
    pub history: HistorySettings,
    /// Access to the history.
    pub query: QuerySettings,
    /// Protection of the metrics.
    pub web: WebSettings,
    /// Reports that are written to a file or the journal.
    pub event_log: EventLogSettings,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file, or a setting from elsewhere, is wrong.
    #[error(transparent)]
    Wrong(#[from] Mistakes),
}

impl Config {
    /// Reads a file. Settings that the file leaves out keep their defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|list| Mistakes::new(shown, list).into()),
            Err(source) => Err(ConfigError::Unreadable { path: shown, source }),
        }
    }

    /// Parses the text of a file. The error holds every mistake, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::read(text)
    }

    /// Applies the rules to settings that come from several sources: file, environment and flags.
    pub fn check(&self) -> Result<(), Mistakes> {
        let found: Vec<_> = rules::broken(self).into_iter().map(|broken| broken.mistake(None)).collect();
        if found.is_empty() { Ok(()) } else { Err(Mistakes::new("settings".to_owned(), found)) }
    }

    /// The settings after a reload: those of `new`, except for settings that need a restart.
    #[must_use]
    pub fn changed_live(&self, new: &Self) -> Self {
        // The rest of `kernel` is fixed when the programs are loaded, or needs rights that the daemon has given up.
        let kernel = KernelSettings {
            stories: new.kernel.stories,
            openings: new.kernel.openings,
            drain_interval: new.kernel.drain_interval,
            ..self.kernel.clone()
        };
        let (listen, query, web) = (self.listen.clone(), self.query.clone(), self.web.clone());
        Self { listen, kernel, query, web, ..new.clone() }
    }

    /// Names of the settings that differ, such as `owner.limit`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names = Vec::new();
        differences("", &self.to_value(), &other.to_value(), &mut names);
        names
    }

    fn to_value(&self) -> Value {
        // Cannot fail: YAML can express every name, number and word.
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
