//! How often reports are compared with the kernel's own counters.

use std::time::Duration;

use clap::Args;

use crate::{audit::Pace, config::unit};

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Time between two comparisons; for tests, which do not wait for ten seconds
    #[arg(long, value_name = "SPAN", value_parser = unit::duration::parse, hide = true)]
    audit_interval: Option<Duration>,
}

impl AuditArgs {
    /// The default pace, or the given one.
    pub(crate) fn pace(&self) -> Pace {
        self.audit_interval.map_or_else(Pace::default, Pace::often)
    }
}
