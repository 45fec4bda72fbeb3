//! The section `kernel`: hooks, buffers and tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unit;
use crate::{
    attach::{answer::Mechanism, load, plan::Preferences},
    story::table::TableLimits,
};

/// `kernel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelSettings {
    /// How hooks attach.
    pub mechanism: MechanismChoice,
    /// Hooks to leave out, by the names that `observer check` shows.
    pub without: Vec<String>,
    /// Size of the ring buffer, bytes: a power of two, 64 KiB to 1 GiB.
    #[serde(with = "unit::bytes")]
    pub ring_size: u32,
    /// Time between two reads of the ring buffer; 1 ms to 1 s.
    #[serde(with = "unit::duration")]
    pub drain_interval: Duration,
    /// Connections whose end has begun; 1 to 10,000,000.
    pub stories: usize,
    /// Connections whose beginning is remembered; 0 to 100,000,000.
    pub openings: usize,
    /// The kernel accounts for the run time of all BPF programs on this host.
    pub program_stats: bool,
    /// Count sends that find the send buffer full.
    pub count_send_buffer_full: bool,
}

impl Default for KernelSettings {
    fn default() -> Self {
        let TableLimits { stories, openings } = TableLimits::default();
        Self {
            mechanism: MechanismChoice::Auto,
            without: Vec::new(),
            // Holds 100 ms of records at 250,000 per second: four times as many connections as two busy cores open
            // and close.
            ring_size: 8 << 20,
            // Records wake nobody, so this interval is a part of each verdict's delay. The waits of `story::table` are
            // the other part.
            drain_interval: Duration::from_millis(50),
            stories,
            openings,
            program_stats: false,
            count_send_buffer_full: false,
        }
    }
}

impl KernelSettings {
    /// Limits of the table of stories.
    #[must_use]
    pub const fn limits(&self) -> TableLimits {
        TableLimits { stories: self.stories, openings: self.openings }
    }

    /// Settings that the BPF programs are loaded with.
    #[must_use]
    pub const fn load(&self) -> load::LoadSettings {
        load::LoadSettings { ring_bytes: self.ring_size, count_send_buffer_full: self.count_send_buffer_full }
    }

    /// Preferences for the plan of attachment.
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

/// How hooks attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum MechanismChoice {
    /// For each hook the best that this kernel accepts.
    Auto,
    /// BTF trampolines.
    Fentry,
    /// Breakpoints.
    Kprobe,
    /// Tracepoints without formatting.
    RawTracepoint,
}
