//! One measurement: one work, done once under one observer.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use super::load::{Load, Work};
use super::observer::{self, Observer, Place, Program, Running};
use super::process;
use super::stats;
use super::worker::{self, Worker};

/// The parameters of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) work: Work,
    /// Repetitions (or MiB) per process.
    pub(crate) count: u64,
    pub(crate) processes: u8,
    /// Number of idle connections that are open during the work.
    pub(crate) held: u64,
    pub(crate) observer: Observer,
    /// Whether the kernel's accounting of BPF programs is on. It makes each run of a program longer.
    pub(crate) program_stats: bool,
}

/// The result of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) spec: Spec,
    /// Duration of the work in seconds, until the last process is done.
    pub(crate) seconds: f64,
    /// Run time of the BPF programs during the work, ns, and number of runs. 0 without `program_stats`.
    pub(crate) run_ns: u64,
    pub(crate) runs: u64,
    /// CPU time of the observer in seconds, from the start of the work until everything is reported.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Memory of the observer, KiB: resident before the work, and the peak since then.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Memory of its maps, KiB. The two values above do not include it.
    pub(crate) maps: u64,
    /// Number of closes and failing writes that our observer reported, and of records that it lost.
    pub(crate) verdicts: u64,
    pub(crate) lost: u64,
    /// Number of verdicts that its history had no time to take.
    pub(crate) not_taken: u64,
}

impl Spec {
    /// Repetitions of all processes together.
    pub(crate) fn total(&self) -> f64 {
        f64::from(u32::try_from(self.count * u64::from(self.processes)).unwrap_or(u32::MAX))
    }

    pub(crate) fn work_word(&self) -> String {
        self.work.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Sample {
    /// Wall time per repetition, ns.
    pub(crate) fn wall_ns_each(&self) -> f64 {
        self.seconds * 1e9 / self.spec.total()
    }

    /// Run time of BPF programs per repetition, ns.
    pub(crate) fn kernel_ns_each(&self) -> f64 {
        f64::from(u32::try_from(self.run_ns / 1000).unwrap_or(u32::MAX)) * 1000.0 / self.spec.total()
    }

    /// User CPU time of the observer per verdict, µs.
    pub(crate) fn user_us_each(&self) -> f64 {
        self.user * 1e6 / f64::from(u32::try_from(self.verdicts.max(1)).unwrap_or(u32::MAX))
    }

    pub(crate) fn json(&self) -> Value {
        let Self { spec, .. } = self;
        json!({
            "work": spec.work_word(), "count": spec.count, "processes": spec.processes, "held": spec.held,
            "observer": spec.observer.word(), "program_stats": spec.program_stats,
            "seconds": self.seconds, "run_ns": self.run_ns, "runs": self.runs,
            "user_seconds": self.user, "system_seconds": self.system,
            "resident_kib": self.resident, "peak_kib": self.peak, "maps_kib": self.maps,
            "verdicts": self.verdicts, "records_lost": self.lost, "history_not_taken": self.not_taken,
        })
    }
}

/// Starts the observer and then the work, and waits until both are done.
///
/// Also returns the statistics of each of our programs, if the kernel's accounting is on.
pub(crate) fn measure(spec: Spec, place: &Place<'_>) -> Result<(Sample, Vec<Program>)> {
    let _counted = spec.program_stats.then(stats::count).transpose()?;
    let running = Running::start(spec.observer, place, false)?;
    let pid = running.as_ref().map(Running::pid);
    let resident = pid.map(process::memory).transpose()?.unwrap_or_default().resident;
    pid.map(process::forget_peak).transpose()?;

    let holders = worker::hold(spec.held)?;
    let mut workers = (0..spec.processes)
        .map(|number| Worker::start(&Load { work: spec.work, count: spec.count, held: 0, number }))
        .collect::<Result<Vec<_>>>()?;
    for worker in &mut workers {
        worker.line()?;
    }
    if spec.observer.is_ours() {
        pid.map(process::await_rest).transpose()?;
    }
    let cpu = pid.map(process::cpu).transpose()?.unwrap_or_default();
    let programs = pid.map(process::programs).transpose()?.unwrap_or_default();
    let started = Instant::now();
    for worker in &mut workers {
        worker.go_on()?;
    }
    for worker in &mut workers {
        worker.line()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let programs_after = pid.map(process::programs).transpose()?.unwrap_or_default();
    if programs_after.runs < programs.runs || programs_after.count < programs.count {
        bail!("the observer ended during the measurement");
    }
    let counted =
        if spec.observer.is_ours() { observer::settled(place)? } else { observer::Counted::default() };
    let cpu_after = pid.map(process::cpu).transpose()?.unwrap_or_default();
    let each =
        if spec.observer.is_ours() && spec.program_stats { observer::programs(place)? } else { Vec::new() };
    let peak = pid.map(process::memory).transpose()?.unwrap_or_default().peak;
    drop(workers);
    drop(holders);
    drop(running);
    let sample = Sample {
        spec,
        seconds,
        run_ns: programs_after.run_ns - programs.run_ns,
        runs: programs_after.runs - programs.runs,
        user: cpu_after.user - cpu.user,
        system: cpu_after.system - cpu.system,
        resident,
        peak,
        maps: programs_after.map_bytes >> 10,
        verdicts: counted.verdicts,
        lost: counted.lost,
        not_taken: counted.not_taken,
    };
    Ok((sample, each))
}
