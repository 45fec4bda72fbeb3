//! The rules in `observer/floors.toml`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// Top-level modules, from the lowest floor to the highest.
    pub(super) floors: Vec<Vec<String>>,
    pub(super) lines: Lines,
    /// File below the source directory → why it is long.
    pub(super) long_files: BTreeMap<String, String>,
    /// Type name → why it may stand for several things.
    pub(super) shared_names: BTreeMap<String, String>,
}

/// Limits on the lines per file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lines {
    pub(super) p50: usize,
    pub(super) p90: usize,
    pub(super) most: usize,
}

impl Rules {
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }
}
