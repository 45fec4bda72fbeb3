//! What is counted of the observer itself: what it took, what it lost, what it costs in the kernel.

use std::time::Duration;

use prometheus::{CounterVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::family::{CounterFamily, register};
use crate::{event::Body, event_log::LOST_REASONS};

pub(super) struct Own {
    /// One for each kind: every record is counted, and a look-up by label would cost more than the counting.
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

impl Own {
    /// Registers the families, with zeros for every kind of record and every reason of loss.
    pub(super) fn new(registry: &Registry, lost_reasons: &[&str]) -> Result<Self, prometheus::Error> {
        let build = Opts::new("observer_build_info", "Always 1; the label says which version this is.");
        let build = register(registry, IntGaugeVec::new(build, &["version"]))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let hook = Opts::new(
            "observer_hook_info",
            "Always 1; the mechanism by which each hook is entered, or none, not_needed, left_out.",
        );
        let run_seconds = Opts::new(
            "observer_program_run_seconds_total",
            "Time spent in each BPF program, as far as the kernel counts it (kernel.bpf_stats_enabled).",
        );
        let tracked = ("observer_tracked_connections", "Connections whose end has begun and is not over.");
        let records = CounterFamily::new(
            registry,
            "observer_records_total",
            "Records taken from the kernel side, by what they tell.",
            ["record"],
        )?;
        let families = Self {
            records: Body::NAMES.map(|name| (name, records.at([name]))),
            records_lost: CounterFamily::new(
                registry,
                "observer_records_lost_total",
                "What could not be taken or kept, by reason; some connections then have no verdict, or a poorer one.",
                ["reason"],
            )?,
            hook_info: register(registry, IntGaugeVec::new(hook, &["hook", "mechanism"]))?,
            program_run_seconds: register(registry, CounterVec::new(run_seconds, &["program"]))?,
            program_runs: CounterFamily::new(
                registry,
                "observer_program_runs_total",
                "Runs of each BPF program, as far as the kernel counts them (kernel.bpf_stats_enabled).",
                ["program"],
            )?,
            tracked: register(registry, IntGauge::new(tracked.0, tracked.1))?,
            send_buffer_full: CounterFamily::new(
                registry,
                "observer_tcp_send_buffer_full_total",
                "Sends that a full buffer refused (EAGAIN), where kernel.count_send_buffer_full has them counted.",
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
                "Lines that the event log could not take, by reason.",
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
        // A counter does not go back, not even by a rounding.
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
