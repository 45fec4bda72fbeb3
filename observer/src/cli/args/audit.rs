//! The hidden flag that sets how often reports are compared with the kernel's own counters.

use std::time::Duration;

use clap::Args;

use crate::{audit::Pace, config::unit};

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Time between two comparisons. Tests use it, since they cannot wait ten seconds
    #[arg(long, value_name = "SPAN", value_parser = unit::duration::parse, hide = true)]
    audit_interval: Option<Duration>,
}

impl AuditArgs {
    /// The given pace, or the default.
    pub(crate) fn pace(&self) -> Pace {
        self.audit_interval.map_or_else(Pace::default, Pace::often)
    }
}
