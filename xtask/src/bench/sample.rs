//! One measurement: a work done once under one observer. In: what to do. Out: [`Sample`].

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use super::load::{Load, Work};
use super::observer::{self, Observer, Place, Program, Running};
use super::process;
use super::stats;
use super::worker::{self, Worker};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) work: Work,
    /// Times (or MiB) of each process.
    pub(crate) count: u64,
    pub(crate) processes: u8,
    /// Connections that are open and idle meanwhile.
    pub(crate) held: u64,
    pub(crate) observer: Observer,
    /// Whether the kernel counts the time of BPF programs, which makes each run longer.
    pub(crate) program_stats: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) spec: Spec,
    /// Of the work: from the word to the last process's end.
    pub(crate) seconds: f64,
    /// Programs' time in the kernel during the work, ns, and their runs; 0 without `program_stats`.
    pub(crate) run_ns: u64,
    pub(crate) runs: u64,
    /// The observer's CPU time from the word until everything was told, seconds.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// The observer's memory, KiB: resident before the work, and the peak since then.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Of that: maps, KiB, which are not in the two above.
    pub(crate) maps: u64,
    /// Closes and failing writes that ours told, and records it lost.
    pub(crate) verdicts: u64,
    pub(crate) lost: u64,
    /// Verdicts that its history had no time for.
    pub(crate) not_taken: u64,
}

impl Spec {
    /// All processes together.
    pub(crate) fn total(&self) -> f64 {
        f64::from(u32::try_from(self.count * u64::from(self.processes)).unwrap_or(u32::MAX))
    }

    pub(crate) fn work_word(&self) -> String {
        self.work.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Sample {
    /// Of the work's clock, ns.
    pub(crate) fn wall_ns_each(&self) -> f64 {
        self.seconds * 1e9 / self.spec.total()
    }

    /// In the kernel's programs, ns.
    pub(crate) fn kernel_ns_each(&self) -> f64 {
        f64::from(u32::try_from(self.run_ns / 1000).unwrap_or(u32::MAX)) * 1000.0 / self.spec.total()
    }

    /// User CPU of the observer for each verdict, µs.
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

/// Starts the observer and the work, one after the other, and waits until both have nothing more to say. Our programs
/// one by one as well, where the kernel counts.
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
        bail!("it ended while it was measured");
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
