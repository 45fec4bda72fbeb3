//! The `process_*` metrics that every exporter has, read from /proc at each scrape.
//!
//! The prometheus crate's own collector counts CPU time in whole seconds. An observer that uses a thousandth of a CPU
//! would show nothing for a quarter of an hour.

use procfs::process::{LimitValue, Process as Proc};
use prometheus::{
    Counter, Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

pub(super) struct ProcessCollector {
    cpu_seconds: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_bytes: Gauge,
    resident_bytes: Gauge,
    start_time: Gauge,
    threads: Gauge,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            open_fds: Gauge::new("process_open_fds", "Number of open file descriptors.")?,
            max_fds: Gauge::new("process_max_fds", "Maximum number of open file descriptors.")?,
            virtual_bytes: Gauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            resident_bytes: Gauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            threads: Gauge::new("process_threads", "Number of OS threads in the process.")?,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, which is more than any of these values"
    )]
    fn refresh(&self) -> procfs::ProcResult<()> {
        let me = Proc::myself()?;
        let stat = me.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let cpu = (stat.utime + stat.stime) as f64 / ticks;
        self.cpu_seconds.inc_by((cpu - self.cpu_seconds.get()).max(0.0));
        self.virtual_bytes.set(stat.vsize as f64);
        self.resident_bytes.set((stat.rss * procfs::page_size()) as f64);
        self.threads.set(stat.num_threads as f64);
        self.start_time.set(procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks);
        self.open_fds.set(me.fd_count()? as f64);
        if let LimitValue::Value(max) = me.limits()?.max_open_files.soft_limit {
            self.max_fds.set(max as f64);
        }
        Ok(())
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        let Self { cpu_seconds, open_fds, max_fds, virtual_bytes, resident_bytes, start_time, threads } =
            self;
        [cpu_seconds, open_fds, max_fds, virtual_bytes, resident_bytes, start_time, threads]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Without the values there is no series, because old values would look like current ones.
        if let Err(error) = self.refresh() {
            log::debug!("cannot read the observer's own /proc entry: {error}");
            return Vec::new();
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::fixtures::{metrics, text};

    #[test]
    fn the_values_of_this_process_are_plausible() {
        let text = text(&metrics());
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1_000_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_threads") >= 1.0);
        // After 2020-01-01: the time of boot plus the ticks from boot to the start.
        assert!(value("process_start_time_seconds") > 1_577_836_800.0);
    }
}
