//! How often the kernel's counters are compared with what was reported; for the commands that watch.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::session::Session;
use crate::{
    audit::{Audit, Pace},
    config::unit,
};

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Time between two comparisons; for tests, which do not wait for ten seconds
    #[arg(long, value_name = "SPAN", value_parser = unit::duration::parse, hide = true)]
    audit_interval: Option<Duration>,
}

impl AuditArgs {
    /// Begins to compare.
    pub(crate) fn start(&self, session: &Session) -> anyhow::Result<Audit> {
        let pace = self.audit_interval.map_or_else(Pace::default, Pace::often);
        Audit::start(pace, &session.plan).context("starting a thread to read the kernel's counters")
    }
}
