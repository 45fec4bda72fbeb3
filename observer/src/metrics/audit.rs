//! By how much reports and the kernel's own counters differ.

use prometheus::{IntGaugeVec, Opts, Registry};

use super::family::register;
use crate::audit::{Summary, counters::Counter};

pub(super) struct AuditFamilies {
    difference: IntGaugeVec,
}

impl AuditFamilies {
    /// Registers the family, with a zero for each counter: the promise, which holds until a comparison says otherwise.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let difference = Opts::new(
            "observer_audit_difference",
            "By how much the kernel's counter and the reports differ, in all network namespaces; 0 is the promise. \
             Not there for a counter that cannot be compared.",
        );
        let difference = register(registry, IntGaugeVec::new(difference, &["counter"]))?;
        for counter in Counter::ALL {
            difference.with_label_values(&[counter.word()]);
        }
        Ok(Self { difference })
    }

    /// Shows how it stands.
    pub(super) fn show(&self, summary: &Summary) {
        for counter in Counter::ALL.iter().map(|counter| counter.word()) {
            let mut compared = summary.counters.iter().filter(|_| summary.failed.is_none());
            match compared.find(|difference| difference.counter == counter) {
                Some(difference) => {
                    let total = i64::try_from(difference.total()).unwrap_or(i64::MAX);
                    self.difference.with_label_values(&[counter]).set(total);
                }
                // An old number would pass for a new one. It fails where there is none already.
                None => drop(self.difference.remove_label_values(&[counter])),
            }
        }
    }
}
