//! `observer top`: closes counted in groups, live on a terminal.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;

use super::{
    args::{daemon::DaemonArgs, filter::FilterArgs, since::SinceArgs},
    output::Format,
    terminal::{time_of_day, width},
};
use crate::{
    history::top::By,
    query::{Request, TopLine},
    render::{
        sentence::counted,
        table::{self, numbers, words},
    },
};

/// Show what closes most: by cause, owner, address or port
///
/// Counts the reports in the daemon's history. The columns are: all closes, closes with a RST sent (RST OUT) or
/// received (RST IN), closes that timed out (TIMEOUT), write errors (ERRORS), lost bytes (LOST B), and the time of
/// the last report. On a terminal the table is refreshed until Ctrl-C; elsewhere it is printed once.
///
/// Exit status: 0 listed, 1 no match, 2 error
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Group by this property
    #[arg(long, value_enum, default_value_t = By::Cause)]
    by: By,
    #[command(flatten)]
    since: SinceArgs,
    /// Seconds between two refreshes
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Print the table once, even on a terminal
    #[arg(long)]
    once: bool,
    /// Output format: a table, or one JSON object
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Default limit of groups outside a terminal.
const LIMIT: usize = 20;

/// Lines of the terminal that are not groups: title, header, and the line of the cursor.
const OTHER_LINES: usize = 3;

pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let live = stdout().is_terminal() && !args.once && args.output == Format::Text;
    if !live {
        let (text, found) = args.table(args.limit(false))?;
        stdout().lock().write_all(text.as_bytes()).context("writing to stdout")?;
        return Ok(ExitCode::from(u8::from(!found)));
    }
    // The screen is cleared once only.
    let mut first = "\x1b[2J";
    loop {
        let (text, _) = args.table(args.limit(true))?;
        // Each line is cleared before it is written. Clearing the whole screen each time would flicker, and clearing
        // after the last column would erase its character.
        let lines: Vec<_> = text.lines().map(|line| format!("\x1b[K{line}\n")).collect();
        let text = lines.concat();
        let first = std::mem::take(&mut first);
        let mut out = stdout().lock();
        write!(out, "{first}\x1b[H{text}\x1b[J").and_then(|()| out.flush()).context("writing to stdout")?;
        drop(out);
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

impl TopArgs {
    fn limit(&self, live: bool) -> usize {
        let asked = self.filter.limit().map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let fits = terminal_size::terminal_size().filter(|_| live);
        let fits = fits.map(|(_, rows)| usize::from(rows.0).saturating_sub(OTHER_LINES).max(1));
        let limit = asked.unwrap_or(if live { usize::MAX } else { LIMIT });
        limit.min(fits.unwrap_or(usize::MAX))
    }

    /// The table as text, and whether it has any row.
    fn table(&self, limit: usize) -> anyhow::Result<(String, bool)> {
        let now = Timestamp::now();
        let since_ns = self.since.since.map(|since| since.unix_ns(now));
        let request = Request::Top { by: self.by, filter: self.filter.filter(), since_ns, limit };
        let Some(line) = self.daemon.ask(&request)?.next() else { bail!("the daemon's answer is empty") };
        let line = line?;
        let top: TopLine = serde_json::from_str(&line).context("reading the daemon's answer")?;
        let found = !top.rows.is_empty();
        Ok((if self.output == Format::Json { line + "\n" } else { text(top, now) }, found))
    }
}

fn text(top: TopLine, now: Timestamp) -> String {
    let (now, hidden) = (now.to_string(), top.groups - top.rows.len().min(top.groups));
    let mut text = format!(
        "{}, {} by {}{}\n",
        counted(top.closes, "close", "closes"),
        counted(top.write_errors, "write error", "write errors"),
        top.by.word(),
        if hidden > 0 { format!("; {hidden} more groups are not shown") } else { String::new() }
    );
    let columns = [
        numbers("CLOSES"),
        numbers("RST OUT"),
        numbers("RST IN"),
        numbers("TIMEOUT"),
        numbers("ERRORS"),
        numbers("LOST B"),
        words(match top.by {
            By::Cause => "CAUSE",
            By::Outcome => "OUTCOME",
            By::Owner => "OWNER",
            By::Unit => "UNIT",
            By::Container => "CONTAINER",
            By::Local => "LOCAL",
            By::Remote => "REMOTE",
            By::Port => "PORT",
        }),
        words("LAST (UTC)"),
    ];
    let rows = top.rows.into_iter().map(|group| {
        let row = group.row;
        let counts = [row.closes, row.resets_sent, row.resets_received, row.timed_out, row.write_errors];
        let [closes, sent, received, timed_out, errors] = counts.map(|count| count.to_string());
        let last = time_of_day(&group.last, &now);
        [closes, sent, received, timed_out, errors, row.lost_bytes.to_string(), row.key, last]
    });
    for line in table::lines(&columns, rows, width()) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}
