//! Reports, events and the observer's own state → Prometheus metrics.
//!
//! Label values come from closed sets; `owner` alone does not, and is bounded. No pid, port or address is ever a
//! label. All that is known beforehand is exported from the start, as zero and with no owner, so that a rate has
//! something to begin from.

mod audit;
mod connections;
mod family;
mod half_closed;
mod own;
mod owner;
mod process;

use std::collections::HashSet;

use prometheus::{IntGauge, Registry};

use self::{
    audit::AuditFamilies, connections::Connections, family::register, half_closed::HalfClosedFamilies,
    own::Own, owner::OwnerLabels, process::ProcessCollector,
};
pub use crate::owner::OwnerBy;
use crate::{
    audit::Summary,
    event::Event,
    half_closed::{Unseen, gauges::Gauges},
    report::Report,
};

/// Everything that is exported.
pub struct Metrics {
    registry: Registry,
    owners: OwnerLabels,
    connections: Connections,
    half_closed: HalfClosedFamilies,
    audit: AuditFamilies,
    own: Own,
    /// OwnerLabels that have their zeros.
    begun: HashSet<Box<str>>,
}

impl Metrics {
    /// With at most `owner_limit` owners by name, and zeros for `lost_reasons`.
    pub fn new(by: OwnerBy, owner_limit: usize, lost_reasons: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let folded = IntGauge::new(
            "observer_owners_folded",
            "OwnerLabels that are counted as other since there are too many; beyond 10000 they are not told apart.",
        );
        let owners = OwnerLabels::new(by, owner_limit, register(&registry, folded)?);
        let connections = Connections::new(&registry)?;
        let half_closed = HalfClosedFamilies::new(&registry)?;
        let audit = AuditFamilies::new(&registry)?;
        let own = Own::new(&registry, lost_reasons)?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self { registry, owners, connections, half_closed, audit, own, begun: HashSet::new() })
    }

    /// Names owners anew from now on; what was counted stays under its old name.
    pub fn set_owners(&mut self, by: OwnerBy, limit: usize) {
        self.owners.reset(by, limit);
    }

    /// What a scrape reads; it may do so at any time.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Counts an event.
    pub fn event(&self, event: &Event) {
        self.own.record(&event.body);
    }

    /// Counts a report.
    pub fn report(&mut self, report: &Report) {
        let owner = self.owners.label(report.process());
        if !self.begun.contains(owner) {
            self.begun.insert(owner.into());
            self.connections.owner(owner);
        }
        match report {
            Report::Close(verdict) => self.connections.close(verdict, owner),
            Report::WriteError(failure) => self.connections.write_error(failure, owner),
            Report::StrayReset(reset) => self.connections.stray_reset(reset),
            Report::LingerExpired(_) => self.connections.linger_expired(owner),
        }
    }

    /// Shows which connections are half-closed now; None hides them all, when that could not be told.
    pub fn half_closed(&mut self, found: Option<(&Gauges, Unseen)>) {
        match found {
            Some((found, unseen)) => self.half_closed.show(found, unseen, &mut self.owners),
            None => self.half_closed.hide(),
        }
    }

    /// Shows how the reports compare with the kernel's own counters.
    pub fn audit(&self, summary: &Summary) {
        self.audit.show(summary);
    }

    /// Notes a hook and its mechanism; `none` for one that this kernel lacks, `not_needed` and `left_out` for others.
    pub fn hook(&self, hook: &str, mechanism: &str) {
        self.own.hook(hook, mechanism);
    }

    /// Notes what was lost so far.
    pub fn lost(&self, reason: &str, total: u64) {
        self.own.lost(reason, total);
    }

    /// Notes how many sends found the buffer full so far.
    pub fn send_buffer_full(&self, total: u64) {
        self.own.send_buffer_full(total);
    }

    /// Notes what a BPF program cost so far.
    pub fn program(&self, program: &str, run_ns: u64, runs: u64) {
        self.own.program(program, run_ns, runs);
    }

    /// Shows how many lines the event log wrote so far, and how many it lost by [`LOST_REASONS`].
    pub fn event_log(&self, written: u64, lost: [u64; 2]) {
        self.own.event_log(written, lost);
    }

    /// Notes how many connections are tracked now.
    pub fn tracked(&self, connections: usize) {
        self.own.tracked(connections);
    }
}

#[cfg(test)]
mod tests;
