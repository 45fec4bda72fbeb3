//! The half-closed connections of the last snapshot.

use std::{collections::BTreeMap, time::Duration};

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use super::{
    connections::SIDES,
    family::register,
    owner::{NONE, OwnerLabels},
};
use crate::half_closed::{Unseen, gauges::Gauges};

pub(super) struct HalfClosedFamilies {
    connections: IntGaugeVec,
    oldest: GaugeVec,
    unseen: IntGaugeVec,
    /// Connections by owner, for each of `SIDES`. An owner without connections stays with zero, because a missing
    /// series means that there is no snapshot. Their number is bounded by the limit on owners.
    counts: [BTreeMap<Box<str>, u64>; 2],
}

impl HalfClosedFamilies {
    /// Registers the families, with zeros for both sides and the owner `none`.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let connections = Opts::new(
            "observer_tcp_half_closed_connections",
            "Half-closed connections now, by the side that has sent its FIN. The owner holds the socket, listens for a \
             connection that is not accepted yet, or has closed the socket.",
        );
        let oldest = Opts::new(
            "observer_tcp_half_closed_oldest_seconds",
            "Age of the oldest half-closed connection (lower bound if its FIN was not seen). 0 if there is none.",
        );
        let unseen = Opts::new(
            "observer_half_closed_unseen",
            "Network namespaces and processes that the last snapshot of half-closed connections could not read.",
        );
        let families = Self {
            connections: register(registry, IntGaugeVec::new(connections, &["side", "owner"]))?,
            oldest: register(registry, GaugeVec::new(oldest, &["side"]))?,
            unseen: register(registry, IntGaugeVec::new(unseen, &["what"]))?,
            counts: [const { BTreeMap::new() }; 2],
        };
        for side in SIDES {
            families.connections.with_label_values(&[side, NONE]);
            families.oldest.with_label_values(&[side]);
        }
        families.show_unseen(Unseen::default());
        Ok(families)
    }

    fn show_unseen(&self, unseen: Unseen) {
        let Unseen { namespaces, process_namespaces, process_descriptors } = unseen;
        for (what, number) in [
            ("namespaces", namespaces),
            ("process_namespaces", process_namespaces),
            ("process_descriptors", process_descriptors),
        ] {
            self.unseen.with_label_values(&[what]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    /// Shows a snapshot.
    pub(super) fn show(&mut self, found: &Gauges, unseen: Unseen, owners: &mut OwnerLabels) {
        self.show_unseen(unseen);
        for ((side, counts), found) in
            SIDES.into_iter().zip(&mut self.counts).zip([&found.local, &found.remote])
        {
            for count in counts.values_mut() {
                *count = 0;
            }
            // This series exists from the start, and stays when it is zero.
            counts.entry(NONE.into()).or_default();
            for held in found.held.values() {
                *counts.entry(owners.label(held.task.as_ref()).into()).or_default() += held.connections;
            }
            for (owner, count) in counts {
                let gauge = self.connections.with_label_values(&[side, owner]);
                gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            let oldest = Duration::from_nanos(found.oldest_ns.unwrap_or_default());
            self.oldest.with_label_values(&[side]).set(oldest.as_secs_f64());
        }
    }

    /// Hides everything until the next snapshot, because old values would look like current ones.
    pub(super) fn hide(&self) {
        self.connections.reset();
        self.oldest.reset();
        self.unseen.reset();
    }
}

#[cfg(test)]
mod tests;
