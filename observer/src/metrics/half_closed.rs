//! Connections that are half-closed now, as the last look at the host found them.

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
    /// Connections by owner, for each of `SIDES`. An owner that has none left stays, with zero: a series that is
    /// gone means that nobody could look. They are as few as there are owners with a name.
    counts: [BTreeMap<Box<str>, u64>; 2],
}

impl HalfClosedFamilies {
    /// Registers the families, with zeros for both sides and no owner.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let connections = Opts::new(
            "observer_tcp_half_closed_connections",
            "Connections that one side (the label) has closed and the other has not, as of the last look. The owner holds \
             the socket, listens for a connection that nobody has accepted, or has closed it.",
        );
        let oldest = Opts::new(
            "observer_tcp_half_closed_oldest_seconds",
            "For how long the oldest of them has been so; at least, where nobody saw its FIN. 0 without any.",
        );
        let unseen = Opts::new(
            "observer_half_closed_unseen",
            "What the last look had to leave out: network namespaces, namespaces of processes, descriptors of processes.",
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

    /// Shows what was found.
    pub(super) fn show(&mut self, found: &Gauges, unseen: Unseen, owners: &mut OwnerLabels) {
        self.show_unseen(unseen);
        for ((side, counts), found) in
            SIDES.into_iter().zip(&mut self.counts).zip([&found.local, &found.remote])
        {
            for count in counts.values_mut() {
                *count = 0;
            }
            // There also when it is zero, as from the start.
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

    /// Shows nothing, until something is found again: old numbers would pass for new ones.
    pub(super) fn hide(&self) {
        self.connections.reset();
        self.oldest.reset();
        self.unseen.reset();
    }
}
