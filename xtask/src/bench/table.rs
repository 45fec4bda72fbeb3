//! The table of limits and measured values, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::load::Work;
use super::machine::Machine;
use super::numbers::{median, quantile};
use super::observer::{Observer, Program};
use super::rounds::Taken;
use super::sample::Sample;

/// One limit, and the measured value.
pub(crate) struct Row {
    what: String,
    limit: String,
    /// None if it could not be measured.
    measured: Option<Measured>,
}

struct Measured {
    shown: String,
    met: bool,
}

/// The limit of a value.
#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn shown(self, unit: &str) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}{unit}"),
            Self::AtLeast(limit) => format!("≥ {limit}{unit}"),
        }
    }
}

/// A row whose median decides. It also shows the lower and upper quartile.
fn row(what: impl Into<String>, limit: Limit, unit: &str, values: &[f64]) -> Row {
    let measured = (!values.is_empty()).then(|| {
        let (low, middle, high) = (quantile(values, 0.25), median(values), quantile(values, 0.75));
        let spread = match values.len() {
            1 => "once".to_owned(),
            times => format!("{} to {}, {times} times", round(low), round(high)),
        };
        let shown = format!("{}{unit} ({spread})", round(middle));
        Measured { shown, met: limit.holds(middle) }
    });
    Row { what: what.into(), limit: limit.shown(unit), measured }
}

/// Formats a value with about three significant digits.
fn round(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 0.1 => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

/// Selects measurements of one kind.
struct Kind {
    work: Work,
    many: bool,
    program_stats: bool,
}

const CHURN: [(Work, bool, &str); 4] = [
    (Work::Fin, false, "FIN, one process"),
    (Work::Rst, false, "RST, one process"),
    (Work::Fin, true, "FIN, many processes"),
    (Work::Rst, true, "RST, many processes"),
];

fn of_kind<'a>(
    taken: &'a Taken,
    kind: &Kind,
    observer: Observer,
) -> impl Iterator<Item = (usize, &'a Sample)> + use<'a> {
    let Kind { work, many, program_stats } = *kind;
    taken.samples.iter().enumerate().filter(move |(_, sample)| {
        let spec = sample.spec;
        spec.work == work
            && (spec.processes > 1) == many
            && spec.held == 0
            && spec.program_stats == program_stats
            && spec.observer == observer
    })
}

/// The ratio of each sample of `over` to the nearest samples of `under`, which belong to the same round.
///
/// With several observers in `under`, the ratio is to their mean. If one ran before and one after, a machine that gets
/// slower or faster affects the ratio less.
fn ratios<const N: usize>(
    taken: &Taken,
    kind: &Kind,
    over: Observer,
    under: [Observer; N],
    value: impl Fn(&Sample) -> f64,
) -> Vec<f64> {
    let others = under.map(|under| of_kind(taken, kind, under).collect::<Vec<_>>());
    let ratio = |(index, sample): (usize, &Sample)| {
        let mut sum = 0.0;
        for others in &others {
            sum += value(others.iter().min_by_key(|(at, _)| at.abs_diff(index))?.1);
        }
        let number = u32::try_from(N).ok()?;
        Some(value(sample) * f64::from(number) / sum)
    };
    of_kind(taken, kind, over).filter_map(ratio).collect()
}

/// No observer, before and after.
const NOBODY: [Observer; 2] = [Observer::None, Observer::NoneAgain];

pub(crate) fn of(taken: &Taken) -> Vec<Row> {
    let mut rows = Vec::new();
    in_kernel(taken, &mut rows);
    against_the_clock(taken, &mut rows);
    own_costs(taken, &mut rows);
    rows
}

fn in_kernel(taken: &Taken, rows: &mut Vec<Row>) {
    let peers = [
        (Observer::Tcplife, "tcplife", 0.1),
        (Observer::Tcpstates, "tcpstates", 0.025),
        (Observer::Bpftrace, "bpftrace counting", 2.0),
    ];
    for (peer, name, limit) in peers {
        for (work, many, how) in CHURN {
            let kind = Kind { work, many, program_stats: true };
            let values = ratios(taken, &kind, Observer::Ours, [peer], Sample::kernel_ns_each);
            rows.push(row(
                format!("in-kernel time per connection, relative to {name}: {how}"),
                Limit::AtMost(limit),
                "",
                &values,
            ));
        }
    }
    let held = |held: u64| -> Vec<f64> {
        let samples = taken.samples.iter().filter(|sample| sample.spec.held == held);
        samples.map(Sample::kernel_ns_each).collect()
    };
    let base = median(&held(1_000));
    let mut counts: Vec<_> = taken.samples.iter().map(|sample| sample.spec.held).collect();
    counts.sort_unstable();
    counts.dedup();
    for count in counts.into_iter().filter(|count| *count > 1_000) {
        let values: Vec<_> = held(count).iter().map(|value| value / base).collect();
        rows.push(row(
            format!("in-kernel time per connection with {count} others open, relative to 1000 others"),
            Limit::AtMost(1.15),
            "",
            &values,
        ));
    }
}

fn against_the_clock(taken: &Taken, rows: &mut Vec<Row>) {
    for (work, many, how) in CHURN {
        let kind = Kind { work, many, program_stats: false };
        let values = ratios(taken, &kind, Observer::Ours, NOBODY, Sample::wall_ns_each);
        let what = format!("wall time, relative to no observer: {how}");
        rows.push(row(what, Limit::AtMost(1.06), "", &values));
        let noise = ratios(taken, &kind, Observer::NoneAgain, [Observer::None], Sample::wall_ns_each);
        let what = format!("noise: wall time of two runs without an observer: {how}");
        rows.push(row(what, Limit::AtMost(1.06), "", &noise));
    }
    for (work, name) in [(Work::Bulk, "bulk transfer"), (Work::PingPong, "ping-pong of one byte")] {
        let kind = Kind { work, many: false, program_stats: false };
        let speed = |sample: &Sample| 1.0 / sample.wall_ns_each();
        // The second one has no hook on the data path.
        for (observer, how, limit) in
            [(Observer::Ours, "", 0.97), (Observer::OursWithoutSendLength, " without sock_send_length", 0.99)]
        {
            let values = ratios(taken, &kind, observer, NOBODY, speed);
            let what = format!("throughput, {name}{how}, relative to no observer");
            rows.push(row(what, Limit::AtLeast(limit), "", &values));
        }
        let noise = ratios(taken, &kind, Observer::NoneAgain, [Observer::None], speed);
        let what = format!("noise: throughput, {name}, of two runs without an observer");
        rows.push(row(what, Limit::AtLeast(0.97), "", &noise));
    }
}

fn own_costs(taken: &Taken, rows: &mut Vec<Row>) {
    let ours = || taken.samples.iter().filter(|sample| sample.spec.observer.is_ours());
    let is_churn =
        |sample: &&Sample| matches!(sample.spec.work, Work::Fin | Work::Rst) && sample.spec.held == 0;
    // Only long runs: the daemon's periodic work, which does not depend on connections, weighs less in them.
    let is_long = |sample: &&Sample| sample.spec.program_stats;
    let user: Vec<_> = ours().filter(is_churn).filter(is_long).map(Sample::user_us_each).collect();
    rows.push(row(
        "user CPU time per verdict, all threads, metrics and history on",
        Limit::AtMost(2.0),
        " µs",
        &user,
    ));
    let churn_lost: Vec<_> = ours().filter(is_churn).map(lost).collect();
    rows.push(most(
        "records lost, connections at full speed, worst run",
        Limit::AtMost(0.0),
        "",
        &churn_lost,
    ));
    rows.push(most(
        "time from a connection's end to its verdict, 99th percentile",
        Limit::AtMost(200.0),
        " ms",
        &[quantile(&taken.delays_ms, 0.99)],
    ));
    let idle: Vec<_> = ours().map(|sample| mib(sample.resident + sample.maps)).collect();
    rows.push(row("memory, idle, maps included", Limit::AtMost(20.0), " MiB", &idle));
    let maps = ours().map(|sample| mib(sample.maps)).collect::<Vec<_>>();
    rows.push(row("memory of the maps alone", Limit::AtMost(20.0), " MiB", &maps));
    for sample in ours().filter(|sample| sample.spec.work == Work::CloseAll) {
        let closes = sample.spec.total() * 2.0;
        let peak = mib(sample.peak + sample.maps);
        rows.push(most(
            format!("memory, peak with {closes} closes at once, maps included"),
            Limit::AtMost(120.0),
            " MiB",
            &[peak],
        ));
        rows.push(most(
            format!("records lost, {closes} closes at once"),
            Limit::AtMost(0.0),
            "",
            &[lost(sample)],
        ));
    }
    rows.push(row("time from start to ready", Limit::AtMost(300.0), " ms", &taken.ready_ms));
}

/// A row whose largest value decides.
fn most(what: impl Into<String>, limit: Limit, unit: &str, values: &[f64]) -> Row {
    let worst = values.iter().copied().max_by(f64::total_cmp);
    let measured =
        worst.map(|worst| Measured { shown: format!("{}{unit}", round(worst)), met: limit.holds(worst) });
    Row { what: what.into(), limit: limit.shown(unit), measured }
}

fn lost(sample: &Sample) -> f64 {
    f64::from(u32::try_from(sample.lost).unwrap_or(u32::MAX))
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// The whole page, in Markdown.
pub(crate) fn text(rows: &[Row], taken: &Taken, machine: &Machine, quick: bool) -> String {
    let mut text = format!("# Cost of the observer\n\n{}\n\n", machine.text());
    if quick {
        text.push_str("This was a quick run, too short to show small differences.\n\n");
    }
    text.push_str(METHOD);
    text.push_str("\n| | limit | measured | met |\n|---|---|---|---|\n");
    for Row { what, limit, measured } in rows {
        let (shown, kept) = match measured {
            None => ("not measured", "?"),
            Some(Measured { shown, met: true }) => (shown.as_str(), "yes"),
            Some(Measured { shown, met: false }) => (shown.as_str(), "**no**"),
        };
        // Writing to a String cannot fail.
        let _ok = writeln!(text, "| {what} | {limit} | {shown} | {kept} |");
    }
    for missing in &taken.missing {
        let _ok = writeln!(text, "\nNot compared: {missing}.");
    }
    programs(taken, &mut text);
    text.push_str(
        "\n## Each work under each observer\n\nThe values are medians, except for the last column.\n\n",
    );
    text.push_str(
        "| work | processes | others open | observer | wall time, µs | in-kernel time, µs | runs | \
         user µs per verdict | system µs per verdict | records lost, worst run |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    let mut told: Vec<String> = Vec::new();
    for sample in &taken.samples {
        let line = line(taken, sample);
        if !told.contains(&line) {
            text.push_str(&line);
            told.push(line);
        }
    }
    text
}

/// Adds the in-kernel time of each program.
fn programs(taken: &Taken, text: &mut String) {
    text.push_str("\n## Each program of the observer\n\n");
    text.push_str("The kernel's accounting itself adds some time to each run. `rt_send_length` shows how much: with EAGAIN it\n");
    text.push_str("checks one number and returns.\n\n");
    text.push_str(
        "| work | program | runs per connection | ns per run | ns per connection |\n|---|---|---|---|---|\n",
    );
    for (spec, programs) in &taken.programs {
        for Program { name, run_ns, runs } in programs {
            let number = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
            let each = number(*runs) / spec.total();
            // A program that ran only now and then has nothing to do with the work.
            if each < 0.1 {
                continue;
            }
            let run = number(*run_ns) / number(*runs);
            let (word, times) = (spec.work_word(), spec.count);
            // Writing to a String cannot fail.
            let _ok = writeln!(
                text,
                "| {word} × {times} | {name} | {} | {} | {} |",
                round(each),
                round(run),
                round(run * each)
            );
        }
    }
}

const METHOD: &str = "\
Each work runs on its own loopback interface. Within a round it runs under one observer after the other. A ratio
compares neighbors of one round. A ratio to no observer uses the mean of the runs before and after. The table shows the
median of all rounds, and the lower and upper quartile in parentheses.

Each observer runs in its own session. Like a service, it has its own share of the CPU, however many processes do the
work. A connection means both of its sockets, from connect to close.

In-kernel time is the kernel's own accounting of BPF programs (kernel.bpf_stats_enabled). It includes the cost of the
accounting, which is off when wall time is measured. All verdicts go into metrics and history. Other processes of the
host that use TCP meanwhile affect the values of every observer.
";

/// A line with the medians of all samples that have the same parameters as this one.
fn line(taken: &Taken, sample: &Sample) -> String {
    let spec = sample.spec;
    let key = |sample: &Sample| {
        let spec = sample.spec;
        (spec.work, spec.count, spec.processes, spec.held, spec.observer, spec.program_stats)
    };
    let alike: Vec<_> = taken.samples.iter().filter(|other| key(other) == key(sample)).collect();
    let middle = |value: &dyn Fn(&Sample) -> f64| {
        median(&alike.iter().map(|sample| value(sample)).collect::<Vec<_>>())
    };
    let only = |shown: bool, value: f64| if shown { round(value) } else { String::new() };
    let (ours, stats) = (spec.observer.is_ours(), spec.program_stats);
    // A few verdicts give no meaningful value.
    let told = ours && sample.verdicts >= 1_000;
    let verdicts = |sample: &Sample| f64::from(u32::try_from(sample.verdicts.max(1)).unwrap_or(u32::MAX));
    format!(
        "| {} × {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        spec.work_word(),
        spec.count,
        spec.processes,
        spec.held,
        spec.observer.word(),
        round(middle(&|sample| sample.wall_ns_each() / 1e3)),
        only(stats, middle(&|sample| sample.kernel_ns_each() / 1e3)),
        only(
            stats,
            middle(&|sample| f64::from(u32::try_from(sample.runs).unwrap_or(u32::MAX)) / spec.total())
        ),
        only(told, middle(&Sample::user_us_each)),
        only(told, middle(&|sample| sample.system * 1e6 / verdicts(sample))),
        only(ours, alike.iter().map(|sample| lost(sample)).fold(0.0, f64::max)),
    )
}

/// Writes the page and every measurement to the directory.
pub(crate) fn record(directory: &Path, text: &str, taken: &Taken) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let mut lines = String::new();
    for sample in &taken.samples {
        lines.push_str(&sample.json().to_string());
        lines.push('\n');
    }
    let delays = [0.5, 0.9, 0.99, 1.0].map(|part| quantile(&taken.delays_ms, part));
    let rest = serde_json::json!({"ready_ms": taken.ready_ms, "delay_ms_50_90_99_100": delays});
    lines.push_str(&rest.to_string());
    lines.push('\n');
    for (name, content) in [("README.md", text), ("measurements.jsonl", lines.as_str())] {
        std::fs::write(directory.join(name), content).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}
