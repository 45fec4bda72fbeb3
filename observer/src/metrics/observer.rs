//! Metrics of the observer itself: records, losses, and its cost in the kernel.

use std::time::Duration;

use prometheus::{CounterVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::family::{CounterFamily, register};
use crate::{event::Body, event_log::LOST_REASONS};

pub(super) struct ObserverFamilies {
    /// One counter per kind. Every record is counted, and finding a counter by its label would cost more than counting.
    records: [(&'static str, IntCounter); Body::NAMES.len()],
    records_lost: CounterFamily<1>,
    hook_info: IntGaugeVec,
    program_run_seconds: CounterVec,
    program_runs: CounterFamily<1>,
    tracked: IntGauge,
    send_buffer_full: CounterFamily<0>,
    event_log: CounterFamily<0>,
    event_log_lost: CounterFamily<1>,
}

impl ObserverFamilies {
    /// Registers the families, with zeros for every kind of record and every reason for a loss.
    pub(super) fn new(registry: &Registry, lost_reasons: &[&str]) -> Result<Self, prometheus::Error> {
        let build = Opts::new("observer_build_info", "Always 1. The label is the version of the observer.");
        let build = register(registry, IntGaugeVec::new(build, &["version"]))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let hook = Opts::new(
            "observer_hook_info",
            "Always 1. The mechanism by which each hook is attached, or none, not_needed or left_out.",
        );
        let run_seconds = Opts::new(
            "observer_program_run_seconds_total",
            "Time spent in each BPF program. 0 unless the kernel measures it (sysctl kernel.bpf_stats_enabled=1).",
        );
        let tracked = ("observer_tracked_connections", "Connections that are ending now.");
        let records = CounterFamily::new(
            registry,
            "observer_records_total",
            "Records read from the kernel, by kind.",
            ["record"],
        )?;
        let families = Self {
            records: Body::NAMES.map(|name| (name, records.at([name]))),
            records_lost: CounterFamily::new(
                registry,
                "observer_records_lost_total",
                "Records lost, by reason. Some connections then have no verdict, or an inferred one.",
                ["reason"],
            )?,
            hook_info: register(registry, IntGaugeVec::new(hook, &["hook", "mechanism"]))?,
            program_run_seconds: register(registry, CounterVec::new(run_seconds, &["program"]))?,
            program_runs: CounterFamily::new(
                registry,
                "observer_program_runs_total",
                "Runs of each BPF program. 0 unless the kernel counts them (sysctl kernel.bpf_stats_enabled=1).",
                ["program"],
            )?,
            tracked: register(registry, IntGauge::new(tracked.0, tracked.1))?,
            send_buffer_full: CounterFamily::new(
                registry,
                "observer_tcp_send_buffer_full_total",
                "Sends that a full send buffer refused (EAGAIN). 0 unless kernel.count_send_buffer_full is set.",
                [],
            )?,
            event_log: CounterFamily::new(
                registry,
                "observer_event_log_lines_total",
                "Lines written to the event log.",
                [],
            )?,
            event_log_lost: CounterFamily::new(
                registry,
                "observer_event_log_lost_total",
                "Lines that the event log lost, by reason.",
                ["reason"],
            )?,
        };
        for reason in lost_reasons {
            families.records_lost.at([reason]);
        }
        families.send_buffer_full.at([]);
        families.event_log.at([]);
        for reason in LOST_REASONS {
            families.event_log_lost.at([reason]);
        }
        Ok(families)
    }

    pub(super) fn record(&self, body: &Body) {
        let kind = body.name();
        if let Some((_, counter)) = self.records.iter().find(|(name, _)| *name == kind) {
            counter.inc();
        }
    }

    pub(super) fn lost(&self, reason: &str, total: u64) {
        self.records_lost.follow([reason], total);
    }

    pub(super) fn send_buffer_full(&self, total: u64) {
        self.send_buffer_full.follow([], total);
    }

    pub(super) fn hook(&self, hook: &str, mechanism: &str) {
        self.hook_info.with_label_values(&[hook, mechanism]).set(1);
    }

    pub(super) fn program(&self, program: &str, run_ns: u64, runs: u64) {
        let seconds = self.program_run_seconds.with_label_values(&[program]);
        // Rounding must not make a counter decrease.
        seconds.inc_by((Duration::from_nanos(run_ns).as_secs_f64() - seconds.get()).max(0.0));
        self.program_runs.follow([program], runs);
    }

    pub(super) fn event_log(&self, written: u64, lost: [u64; 2]) {
        self.event_log.follow([], written);
        for (reason, lost) in LOST_REASONS.into_iter().zip(lost) {
            self.event_log_lost.follow([reason], lost);
        }
    }

    pub(super) fn tracked(&self, connections: usize) {
        self.tracked.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}
