//! Families of metrics, and their registration.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, core::Collector};

/// A family of counters with `N` labels.
pub(super) struct CounterFamily<const N: usize>(IntCounterVec);

impl<const N: usize> CounterFamily<N> {
    pub(super) fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Self, prometheus::Error> {
        register(registry, IntCounterVec::new(Opts::new(name, help), &labels)).map(Self)
    }

    /// The counter with these values, in the order of the labels. A new one starts at zero; an existing one costs a
    /// hash and no allocation.
    pub(super) fn at(&self, values: [&str; N]) -> IntCounter {
        let Self(family) = self;
        // Panics only for a wrong number of values, which the type prevents.
        family.with_label_values(&values)
    }

    /// Raises a counter to a total that is kept outside the metrics.
    pub(super) fn follow(&self, values: [&str; N], total: u64) {
        let counter = self.at(values);
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

/// A family of histograms of seconds with one label. The series of all `values` exist from the start.
pub(super) fn seconds(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    // From the answer of a prompt peer (1 ms) to longer than any peer needs (1 h).
    let buckets =
        [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0];
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let family = register(registry, HistogramVec::new(options, &[label]))?;
    for value in values {
        family.with_label_values(&[value]);
    }
    Ok(family)
}

/// Registers a family or a single metric.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
