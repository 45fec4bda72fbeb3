//! `observer status`: the daemon's health, hooks, losses and cost.

use std::{
    io::{BufWriter, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{args::daemon::DaemonArgs, output::Format, terminal::width};
use crate::{
    audit::Summary,
    query::{
        Request,
        status::{HookLine, StatusLine},
    },
    render::{
        sentence::span,
        table::{self, words},
    },
};

/// Show the daemon's health, hooks, losses and cost
///
/// The daemon is degraded while verdicts may be inexact or missing. Records were lost in the last ten minutes, or the
/// daemon does not keep up. Or this kernel hides a kind of event, or half-closed connections cannot be counted.
///
/// The table lists all hooks. A hook that is not attached has one of three marks: `-`, it is not needed or was left out
/// by the configuration; `refused`, the kernel does not permit it; `absent`, the kernel does not offer it. None of these
/// degrades the daemon by itself.
///
/// Exit status: 0 healthy, 1 degraded, 2 error
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Output format: lines for people, or one JSON object
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let Some(line) = args.daemon.ask(&Request::Status)?.next() else { bail!("the daemon's answer is empty") };
    let line = line?;
    let status: StatusLine = serde_json::from_str(&line).context("reading the daemon's answer")?;
    let text = match args.output {
        Format::Json => vec![line],
        Format::Text => lines(&status, width()),
    };
    let mut out = BufWriter::new(stdout().lock());
    let mut write = || {
        text.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    };
    write().context("writing to stdout")?;
    Ok(ExitCode::from(u8::from(!status.problems.is_empty())))
}

fn lines(status: &StatusLine, width: Option<usize>) -> Vec<String> {
    let daemon = &status.pulse;
    let mut lines = vec![labelled("health", &status.health)];
    lines.extend(status.problems.iter().map(|problem| labelled("", &format!("- {problem}"))));
    let running = milliseconds(status.running_ms);
    let version = format!("observer {}, process {}", status.version, status.pid);
    lines.push(labelled("daemon", &format!("{version}, on Linux {}, running for {running}", daemon.kernel)));
    lines.push(labelled("closing now", &format!("{} connections", daemon.tracked)));
    lines.extend(daemon.half_closed_unseen.iter().map(|unseen| labelled("unseen", unseen)));
    lines.push(labelled("lost", &lost(status)));
    lines.extend(daemon.audit.as_ref().map(|summary| labelled("audit", &audit(summary, status))));
    if let Some(sends) = daemon.send_buffer_full {
        lines.push(labelled("buffer full", &format!("{sends} sends (EAGAIN, not counted as write errors)")));
    }
    lines.push(labelled("cost", &cost(status)));
    lines.push(labelled("history", &history(status)));
    lines.push(String::new());
    lines.extend(daemon.closed.iter().cloned());
    let rows = daemon.hooks.iter().map(|hook| [hook.hook.clone(), mechanism(hook), hook.reason.clone()]);
    lines.extend(table::lines(&["HOOK", "MECHANISM", "WHY"].map(words), rows, width));
    lines.into_iter().map(|line| table::cut(&line, width)).collect()
}

/// A line like those of `systemctl status`. A line without a label continues the one before.
fn labelled(label: &str, text: &str) -> String {
    const WIDTH: usize = "closing now".len();
    let colon = if label.is_empty() { ' ' } else { ':' };
    format!("{label:>WIDTH$}{colon} {text}")
}

/// The mechanism of a hook, or why it has none in one word; `-` if it is not needed.
fn mechanism(hook: &HookLine) -> String {
    match (hook.mechanism.as_str(), hook.fate.as_str()) {
        ("none", fate @ ("refused" | "absent")) => fate.to_owned(),
        ("none", _) => "-".to_owned(),
        (mechanism, _) => mechanism.to_owned(),
    }
}

fn lost(status: &StatusLine) -> String {
    let daemon = &status.pulse;
    let nonzero = daemon.lost.iter().filter(|(_, count)| *count > 0);
    let mut losses: Vec<_> = nonzero.map(|(reason, count)| format!("{count} {reason}")).collect();
    if daemon.not_taken > 0 {
        losses.push(format!("{} not_in_history", daemon.not_taken));
    }
    if losses.is_empty() {
        return "nothing".to_owned();
    }
    let last = status.last_loss_ms.map(|ms| format!("; the last {} ago", milliseconds(ms)));
    losses.join(", ") + &last.unwrap_or_default()
}

/// The comparison with the kernel's counters, and whether a difference is expected.
fn audit(summary: &Summary, status: &StatusLine) -> String {
    let is_expected = !summary.agrees() && status.last_loss_ms.is_some();
    summary.text() + if is_expected { "; records were lost, so a difference is expected" } else { "" }
}

fn cost(status: &StatusLine) -> String {
    let (run_ns, runs) =
        status.pulse.programs.iter().fold((0, 0), |(ns, all), (_, run_ns, runs)| (ns + run_ns, all + runs));
    let kernel = match runs {
        0 => "BPF run time not measured; enable with sysctl kernel.bpf_stats_enabled=1".to_owned(),
        runs => format!("BPF run time {} in {runs} runs", span(run_ns)),
    };
    let daemon = match (status.cpu_ms, status.resident_bytes) {
        (Some(cpu), Some(bytes)) => format!("{} of CPU, {} of memory", milliseconds(cpu), mebibytes(bytes)),
        _ => "CPU and memory are unknown".to_owned(),
    };
    format!("{daemon}; {kernel}")
}

fn history(status: &StatusLine) -> String {
    let fill = &status.history;
    let limits = &fill.limits;
    let bytes = |bytes: usize| mebibytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    let oldest =
        status.history_oldest_ms.map_or_else(String::new, |ms| format!(", oldest {} ago", milliseconds(ms)));
    let out = fill.pushed_out;
    let dropped = match out.total() {
        0 => String::new(),
        _ => format!("; dropped: {} by number, {} by age, {} by memory", out.count, out.age, out.bytes),
    };
    format!(
        "{} of {} closes, {} of {} write errors, {} of {}{oldest}{dropped}",
        fill.closes,
        limits.closes,
        fill.errors,
        limits.errors,
        bytes(fill.bytes),
        bytes(limits.bytes)
    )
}

fn milliseconds(ms: u64) -> String {
    span(ms.saturating_mul(1_000_000))
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
