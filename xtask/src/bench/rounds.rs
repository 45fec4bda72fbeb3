//! Running all benchmarks, one after the other. Progress goes to stderr.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::load::{Load, Work};
use super::observer::{Observer, Place, Program, Running};
use super::sample::{Sample, Spec, measure};
use super::worker::Worker;

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// In the order of the runs. Those of one round are neighbors.
    pub(crate) samples: Vec<Sample>,
    /// Statistics of our programs during each work of one process, from the last round.
    pub(crate) programs: Vec<(Spec, Vec<Program>)>,
    /// Times from start to ready, ms.
    pub(crate) ready_ms: Vec<f64>,
    /// Times from the end of a connection to its verdict on stdout, ms.
    pub(crate) delays_ms: Vec<f64>,
    /// Observers that do not run here, with the reason.
    pub(crate) missing: Vec<String>,
}

/// The amounts of work.
struct Size {
    rounds: usize,
    /// Rounds of benchmarks that need not show small differences.
    peer_rounds: usize,
    churn: u64,
    /// Connections per round when wall time is measured. Many short rounds separate a small difference from noise.
    clock_churn: u64,
    bulk_mib: u64,
    ping_pongs: u64,
    held: &'static [u64],
    storm: u64,
    refused: u64,
    paced: u64,
    starts: usize,
}

const FULL: Size = Size {
    rounds: 15,
    peer_rounds: 3,
    churn: 20_000,
    clock_churn: 8_000,
    bulk_mib: 3_000,
    ping_pongs: 40_000,
    held: &[1_000, 10_000, 100_000],
    storm: 200_000,
    refused: 30_000,
    paced: 5_000,
    starts: 11,
};
const QUICK: Size = Size {
    rounds: 2,
    peer_rounds: 1,
    churn: 5_000,
    clock_churn: 5_000,
    bulk_mib: 2_000,
    ping_pongs: 10_000,
    held: &[1_000, 10_000],
    storm: 50_000,
    refused: 15_000,
    paced: 1_000,
    starts: 3,
};

const PEERS: [Observer; 3] = [Observer::Bpftrace, Observer::Tcplife, Observer::Tcpstates];

/// Runs all benchmarks. `rounds` replaces the default number of rounds.
pub(crate) fn all(place: &Place<'_>, quick: bool, rounds: Option<u16>) -> Result<Taken> {
    let mut size = if quick { QUICK } else { FULL };
    if let Some(rounds) = rounds.map(usize::from) {
        (size.rounds, size.peer_rounds) = (rounds, rounds.div_ceil(4));
    }
    let mut taken = Taken::default();
    starts(place, size.starts, &mut taken)?;
    delays(place, size.paced, &mut taken)?;

    let many =
        std::thread::available_parallelism().map_or(2, |cpus| u8::try_from(cpus.get() * 2).unwrap_or(16));
    let churn = |observer, program_stats| {
        let count = if program_stats { size.churn } else { size.clock_churn };
        [(Work::Fin, 1), (Work::Rst, 1), (Work::Fin, many), (Work::Rst, many)].map(|(work, processes)| Spec {
            work,
            count: count / u64::from(processes),
            processes,
            held: 0,
            observer,
            program_stats,
        })
    };
    // In-kernel time and wall time need separate runs, since the kernel's accounting adds to the wall time.
    let in_turn = |observers: &[Observer], program_stats| -> Vec<Spec> {
        let each: Vec<_> = observers.iter().map(|observer| churn(*observer, program_stats)).collect();
        (0..4).flat_map(|work| each.iter().map(move |specs| specs[work])).collect()
    };
    let kernel = in_turn(&[&[Observer::Ours], PEERS.as_slice()].concat(), true);
    turns("connections, in-kernel time", &kernel, size.peer_rounds, place, &mut taken)?;
    let clock = in_turn(&[Observer::None, Observer::Ours, Observer::NoneAgain], false);
    turns("connections, wall time", &clock, size.rounds, place, &mut taken)?;
    let clock = in_turn(&[&[Observer::None], PEERS.as_slice()].concat(), false);
    turns("connections, wall time of the peers", &clock, size.peer_rounds, place, &mut taken)?;

    let data: Vec<_> = [(Work::Bulk, size.bulk_mib), (Work::PingPong, size.ping_pongs)]
        .into_iter()
        .flat_map(|(work, count)| {
            [Observer::None, Observer::Ours, Observer::OursWithoutSendLength, Observer::NoneAgain]
                .map(|observer| one(work, count, observer, false))
        })
        .collect();
    turns("long connections", &data, size.rounds, place, &mut taken)?;

    let held: Vec<_> = size
        .held
        .iter()
        .map(|held| Spec { held: *held, ..one(Work::Rst, size.churn, Observer::Ours, true) })
        .collect();
    turns("connections, with many others open", &held, size.peer_rounds, place, &mut taken)?;
    let most = size.held.last().copied().unwrap_or(0);
    // Both sockets of a connection are on this host, so half as many connections give `most` closes.
    let at_once: Vec<_> = [most / 2, most].into_iter().map(close_all).collect();
    turns("many closed at once", &at_once, 1, place, &mut taken)?;

    let storms: Vec<_> =
        [(Work::WriteError, size.storm), (Work::Eagain, size.storm * 4), (Work::Refused, size.refused)]
            .into_iter()
            .flat_map(|(work, count)| {
                [(Observer::None, false), (Observer::Ours, false), (Observer::Ours, true)]
                    .map(|(observer, stats)| one(work, count, observer, stats))
            })
            .collect();
    turns("storms", &storms, size.peer_rounds, place, &mut taken)?;
    Ok(taken)
}

const fn one(work: Work, count: u64, observer: Observer, program_stats: bool) -> Spec {
    Spec { work, count, processes: 1, held: 0, observer, program_stats }
}

fn close_all(connections: u64) -> Spec {
    let processes = u8::try_from(connections.div_ceil(super::worker::HELD_BY_ONE)).unwrap_or(u8::MAX).max(1);
    Spec { processes, ..one(Work::CloseAll, connections / u64::from(processes), Observer::Ours, false) }
}

/// Runs every spec once per round.
fn turns(what: &str, specs: &[Spec], rounds: usize, place: &Place<'_>, taken: &mut Taken) -> Result<()> {
    for round in 1..=rounds {
        for spec in specs {
            let label = format!(
                "bench: {what}, {round}/{rounds}: {} x{} ({} held), {}",
                spec.work_word(),
                spec.processes,
                spec.held,
                spec.observer.word()
            );
            match measure(*spec, place) {
                Ok((sample, programs)) => {
                    let (wall, kernel) = (sample.wall_ns_each() / 1e3, sample.kernel_ns_each() / 1e3);
                    eprintln!(
                        "{label}: {wall:.2} us each, {kernel:.2} us in the kernel, {} records lost",
                        sample.lost
                    );
                    taken.samples.push(sample);
                    if !programs.is_empty() && spec.processes == 1 && spec.held == 0 {
                        taken.programs.retain(|(earlier, _)| earlier.work != spec.work);
                        taken.programs.push((*spec, programs));
                    }
                }
                // A peer may not run on this kernel. Without our observer there is no result.
                Err(error) if PEERS.contains(&spec.observer) => {
                    let missing = format!("{}: {error:#}", spec.observer.word());
                    eprintln!("{label}: {missing}");
                    if !taken.missing.contains(&missing) {
                        taken.missing.push(missing);
                    }
                }
                Err(error) => return Err(error.context(label)),
            }
        }
    }
    Ok(())
}

fn starts(place: &Place<'_>, starts: usize, taken: &mut Taken) -> Result<()> {
    for start in 1..=starts {
        let running = Running::start(Observer::Ours, place, false)?;
        let ready =
            running.and_then(|running| running.ready_after).context("the observer did not become ready")?;
        eprintln!("bench: time from start to ready, {start}/{starts}: {} ms", ready.as_millis());
        taken.ready_ms.push(ready.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// Measures the delay of verdicts, at a thousand connections per second.
///
/// Each connection gives two verdicts, one per socket. A verdict's line on stdout contains the time of the end.
fn delays(place: &Place<'_>, count: u64, taken: &mut Taken) -> Result<()> {
    let mut running = Running::start(Observer::Ours, place, true)?.context("the observer does not run")?;
    let verdicts = running.verdicts().context("the observer has no stdout")?;
    let expected = usize::try_from(count * 2).unwrap_or(usize::MAX);
    // The thread reads until the observer has ended.
    let reader = std::thread::spawn(move || -> Vec<f64> {
        BufReader::new(verdicts).lines().map_while(Result::ok).filter_map(|line| delay_ms(&line)).collect()
    });
    let mut worker = Worker::start(&Load { work: Work::Paced, count, held: 0, number: 200 })?;
    worker.line()?;
    worker.go_on()?;
    worker.line()?;
    // Waits for the last verdicts.
    let ended = Instant::now();
    while ended.elapsed() < Duration::from_millis(600) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(running);
    taken.delays_ms = reader.join().unwrap_or_default();
    let (seen, p99) = (taken.delays_ms.len(), super::numbers::quantile(&taken.delays_ms, 0.99));
    eprintln!("bench: time from end to verdict: {seen} of {expected} verdicts, 99 % within {p99:.0} ms");
    Ok(())
}

/// Milliseconds from the time at the start of a line (UTC) until now. None for other addresses than the benchmark's.
fn delay_ms(line: &str) -> Option<f64> {
    if !line.contains("127.1.200.") {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64() * 1e3;
    let mut fields = line.get(..12)?.split(':').map(str::parse::<f64>);
    let mut next = || fields.next()?.ok();
    let told = ((next()? * 60.0 + next()?) * 60.0 + next()?) * 1e3;
    let day = 86_400_000.0;
    Some((now % day - told).rem_euclid(day))
}
