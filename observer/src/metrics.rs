//! Reports, events and the observer's own state → Prometheus metrics.
//!
//! Label values come from closed sets. Only `owner` does not, and the number of its values is bounded. No process id,
//! port or address is ever a label. Every series of a closed set is exported from the start, with zero and the owner
//! `none`, so that a rate has a first value.

mod audit;
mod connections;
mod family;
mod half_closed;
mod observer;
mod owner;
mod process;

use std::collections::HashSet;

use prometheus::{IntGauge, Registry};

use self::{
    audit::AuditFamilies, connections::ConnectionFamilies, family::register, half_closed::HalfClosedFamilies,
    observer::ObserverFamilies, owner::OwnerLabels, process::ProcessCollector,
};
pub use crate::owner::OwnerBy;
use crate::{
    audit::Summary,
    event::Event,
    half_closed::{Unseen, gauges::Gauges},
    report::Report,
};

/// Every exported metric.
pub struct Metrics {
    registry: Registry,
    owners: OwnerLabels,
    connections: ConnectionFamilies,
    half_closed: HalfClosedFamilies,
    audit: AuditFamilies,
    observer: ObserverFamilies,
    /// Values of the `owner` label whose series exist.
    known_owners: HashSet<Box<str>>,
}

impl Metrics {
    /// Registers every family. At most `owner_limit` owners have a name of their own; `lost_reasons` are the reasons
    /// for lost records.
    pub fn new(by: OwnerBy, owner_limit: usize, lost_reasons: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let folded = IntGauge::new(
            "observer_owners_folded",
            "Owners beyond owner.limit, counted as \"other\". The number stops at 10000.",
        );
        let owners = OwnerLabels::new(by, owner_limit, register(&registry, folded)?);
        let connections = ConnectionFamilies::new(&registry)?;
        let half_closed = HalfClosedFamilies::new(&registry)?;
        let audit = AuditFamilies::new(&registry)?;
        let observer = ObserverFamilies::new(&registry, lost_reasons)?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self { registry, owners, connections, half_closed, audit, observer, known_owners: HashSet::new() })
    }

    /// Assigns the names of owners anew. Earlier counts keep their old names.
    pub fn set_owners(&mut self, by: OwnerBy, limit: usize) {
        self.owners.reset(by, limit);
    }

    /// The registry, which a scrape may read at any time.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Counts an event.
    pub fn event(&self, event: &Event) {
        self.observer.record(&event.body);
    }

    /// Counts a report.
    pub fn report(&mut self, report: &Report) {
        let owner = self.owners.label(report.process());
        if !self.known_owners.contains(owner) {
            self.known_owners.insert(owner.into());
            self.connections.add_owner(owner);
        }
        match report {
            Report::Close(verdict) => self.connections.close(verdict, owner),
            Report::WriteError(failure) => self.connections.write_error(failure, owner),
            Report::StrayReset(reset) => self.connections.stray_reset(reset),
            Report::LingerExpired(_) => self.connections.linger_expired(owner),
        }
    }

    /// Shows the half-closed connections of the last snapshot. None hides them, because there is no snapshot.
    pub fn half_closed(&mut self, found: Option<(&Gauges, Unseen)>) {
        match found {
            Some((found, unseen)) => self.half_closed.show(found, unseen, &mut self.owners),
            None => self.half_closed.hide(),
        }
    }

    /// Shows the differences between the reports and the kernel's own counters.
    pub fn audit(&self, summary: &Summary) {
        self.audit.show(summary);
    }

    /// Shows a hook and its mechanism, or why it has none: `none` (this kernel lacks it), `not_needed`, `left_out`.
    pub fn hook(&self, hook: &str, mechanism: &str) {
        self.observer.hook(hook, mechanism);
    }

    /// Shows how many records were lost so far for this reason.
    pub fn lost(&self, reason: &str, total: u64) {
        self.observer.lost(reason, total);
    }

    /// Shows how many sends found the send buffer full so far.
    pub fn send_buffer_full(&self, total: u64) {
        self.observer.send_buffer_full(total);
    }

    /// Shows the run time (ns) and the runs of a BPF program so far.
    pub fn program(&self, program: &str, run_ns: u64, runs: u64) {
        self.observer.program(program, run_ns, runs);
    }

    /// Shows how many lines the event log wrote so far, and how many it lost for each of
    /// [`LOST_REASONS`](crate::event_log::LOST_REASONS).
    pub fn event_log(&self, written: u64, lost: [u64; 2]) {
        self.observer.event_log(written, lost);
    }

    /// Shows how many connections are ending now.
    pub fn tracked(&self, connections: usize) {
        self.observer.tracked(connections);
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
