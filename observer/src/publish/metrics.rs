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

pub use self::owner::OwnerBy;
use self::{
    audit::Audit, connections::Connections, family::register, half_closed::HalfClosed, own::Own,
    owner::Owners, process::Process,
};
use crate::{
    audit::Summary,
    event::Event,
    half_closed::{Unseen, gauges::Gauges},
    publish::event_log::EventLog,
    report::Report,
};

/// Everything that is exported.
pub struct Metrics {
    registry: Registry,
    owners: Owners,
    connections: Connections,
    half_closed: HalfClosed,
    audit: Audit,
    own: Own,
    /// Owners that have their zeros.
    begun: HashSet<Box<str>>,
}

impl Metrics {
    /// With at most `owner_limit` owners by name, and zeros for `lost_reasons`.
    pub fn new(by: OwnerBy, owner_limit: usize, lost_reasons: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let folded = IntGauge::new(
            "observer_owners_folded",
            "Owners that are counted as other since there are too many; beyond 10000 they are not told apart.",
        );
        let owners = Owners::new(by, owner_limit, register(&registry, folded)?);
        let connections = Connections::new(&registry)?;
        let half_closed = HalfClosed::new(&registry)?;
        let audit = Audit::new(&registry)?;
        let own = Own::new(&registry, lost_reasons)?;
        registry.register(Box::new(Process::new()?))?;
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

    /// Notes what the event log wrote and lost so far.
    pub fn event_log(&self, log: &EventLog) {
        self.own.event_log(log);
    }

    /// Notes how many connections are tracked now.
    pub fn tracked(&self, connections: usize) {
        self.own.tracked(connections);
    }
}

#[cfg(test)]
mod tests;
