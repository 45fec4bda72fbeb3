//! The differences between reports and the kernel's own counters.

use prometheus::{IntGaugeVec, Opts, Registry};

use super::family::register;
use crate::audit::{Summary, counters::Counter};

pub(super) struct AuditFamilies {
    difference: IntGaugeVec,
}

impl AuditFamilies {
    /// Registers the family, with zero for each counter until there is a comparison.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let difference = Opts::new(
            "observer_audit_difference",
            "Difference between the kernel's counter and the reports, in all network namespaces; 0 is expected. Absent \
             for a counter that cannot be compared.",
        );
        let difference = register(registry, IntGaugeVec::new(difference, &["counter"]))?;
        for counter in Counter::ALL {
            difference.with_label_values(&[counter.word()]);
        }
        Ok(Self { difference })
    }

    /// Shows the differences of this summary.
    pub(super) fn show(&self, summary: &Summary) {
        for counter in Counter::ALL.iter().map(|counter| counter.word()) {
            let mut compared = summary.counters.iter().filter(|_| summary.failed.is_none());
            match compared.find(|difference| difference.counter == counter) {
                Some(difference) => {
                    let total = i64::try_from(difference.total()).unwrap_or(i64::MAX);
                    self.difference.with_label_values(&[counter]).set(total);
                }
                // An old value would look like a current one. An error means that there was no series.
                None => drop(self.difference.remove_label_values(&[counter])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::Difference,
        metrics::{
            Metrics,
            fixtures::{counted, metrics, text},
        },
    };

    #[test]
    fn only_compared_counters_are_shown() {
        let metrics = metrics();
        let shown = |metrics: &Metrics| {
            let text = text(metrics);
            let lines = text.lines().filter_map(|line| line.strip_prefix("observer_audit_difference"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shown(&metrics).len(), Counter::ALL.len());
        assert_eq!(counted(&metrics, "observer_audit_difference"), [""; 0]);
        let difference = |counter: &str, not_reported| Difference {
            counter: counter.to_owned(),
            not_reported,
            not_counted: 1,
        };
        let summary = Summary { counters: vec![difference("OutRsts", 3)], ..Summary::default() };
        metrics.audit(&summary);
        assert_eq!(shown(&metrics), [r#"{counter="OutRsts"} 4"#]);
        metrics.audit(&Summary { failed: Some("no /proc".to_owned()), ..summary });
        assert_eq!(shown(&metrics), [""; 0]);
    }
}
