//! `observer status`: how the daemon is.

use std::{
    io::{BufWriter, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::output::Format;
use super::terminal::width;
use crate::{
    audit::Summary,
    cli::args::daemon::DaemonArgs,
    query::{
        Request,
        status::{HookLine, StatusLine},
    },
    render::{
        sentence::span,
        table::{self, words},
    },
};

/// Show how the daemon is: hooks, losses, cost, history
///
/// Its hooks and how each is entered, what was lost and why, what it costs, and how full its history is. It is
/// degraded while verdicts may be poorer or missing: something was lost in the last ten minutes, it does not keep up,
/// this kernel lets nobody see some kind of event, or what is half-closed cannot be counted. A hook that another makes up for (-), or that was left out as
/// asked (-), or that the kernel refuses or lacks (refused, absent) is shown and does not degrade it by itself.
///
/// Exit status: 0 it is well, 1 it is degraded, 2 an error.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How results are written: for people, or one JSON object
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
    let pulse = &status.pulse;
    let mut lines = vec![format!("health   {}", status.health)];
    lines.extend(status.problems.iter().map(|problem| format!("         - {problem}")));
    lines.push(format!(
        "daemon   observer {}, process {}, on Linux {}, running for {}",
        status.version,
        status.pid,
        pulse.kernel,
        milliseconds(status.running_ms)
    ));
    lines.push(format!("now      {} connections whose end has begun", pulse.tracked));
    lines.extend(pulse.half_closed_unseen.iter().map(|unseen| format!("unseen   {unseen}")));
    lines.push(format!("lost     {}", lost(status)));
    lines.extend(pulse.audit.as_ref().map(|audit| format!("audit    {}", told(audit, status))));
    if let Some(sends) = pulse.send_buffer_full {
        lines.push(format!("full     {sends} sends found the buffer full (no errors)"));
    }
    lines.push(format!("cost     {}", cost(status)));
    lines.push(format!("history  {}", history(status)));
    lines.push(String::new());
    lines.extend(pulse.closed.iter().cloned());
    let rows = pulse.hooks.iter().map(|hook| [hook.hook.clone(), way(hook), hook.reason.clone()]);
    lines.extend(table::lines(&["HOOK", "MECHANISM", "WHY"].map(words), rows, width));
    lines.into_iter().map(|line| table::cut(&line, width)).collect()
}

/// How it is entered, or in a word why it is not; `-` where nobody misses it.
fn way(hook: &HookLine) -> String {
    match (hook.mechanism.as_str(), hook.fate.as_str()) {
        ("none", fate @ ("refused" | "absent")) => fate.to_owned(),
        ("none", _) => "-".to_owned(),
        (mechanism, _) => mechanism.to_owned(),
    }
}

fn lost(status: &StatusLine) -> String {
    let lost: Vec<_> = status
        .pulse
        .lost
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .chain((status.pulse.not_taken > 0).then(|| format!("{} not_in_history", status.pulse.not_taken)))
        .collect();
    let when =
        status.last_loss_ms.map_or_else(String::new, |ms| format!("; the last {} ago", milliseconds(ms)));
    if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") + &when }
}

/// How the reports compare with the kernel's counters, and why they may not agree.
fn told(audit: &Summary, status: &StatusLine) -> String {
    let expected = !audit.agrees() && status.last_loss_ms.is_some();
    audit.told() + if expected { "; records were lost, so a difference is expected" } else { "" }
}

fn cost(status: &StatusLine) -> String {
    let (run_ns, runs) =
        status.pulse.programs.iter().fold((0, 0), |(ns, all), (_, run_ns, runs)| (ns + run_ns, all + runs));
    let kernel = match runs {
        0 => "not counted by the kernel (sysctl kernel.bpf_stats_enabled=1 does)".to_owned(),
        runs => format!("{} in {runs} runs in the kernel", span(run_ns)),
    };
    let own = match (status.cpu_ms, status.resident_bytes) {
        (Some(cpu), Some(bytes)) => {
            format!("{} of CPU and {} of memory", milliseconds(cpu), mebibytes(bytes))
        }
        _ => "its own is not known".to_owned(),
    };
    format!("{own}; programs: {kernel}")
}

fn history(status: &StatusLine) -> String {
    let fill = &status.history;
    let limits = &fill.limits;
    let bytes = |bytes: usize| mebibytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    let oldest =
        status.history_oldest_ms.map_or_else(String::new, |ms| format!(", oldest {} ago", milliseconds(ms)));
    let out = fill.pushed_out;
    let pushed_out = match out.total() {
        0 => String::new(),
        _ => format!("; pushed out: {} for number, {} for age, {} for size", out.count, out.age, out.bytes),
    };
    format!(
        "{} of {} closes, {} of {} write errors, {} of {}{oldest}{pushed_out}",
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
