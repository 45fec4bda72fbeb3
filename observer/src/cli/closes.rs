//! `observer closes` and `observer errors`: what the daemon saw last.

use std::{
    io::{BufWriter, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    ask::{DaemonArgs, Since, end, process, time_of_day, width, word},
    filter::FilterArgs,
    output::Format,
};
use crate::publish::{
    query::{Ask, List, client::Lines},
    table::{self, words},
};

/// Show the last closes that the daemon saw
///
/// Oldest first, the newest last: the newest 100, or with --since, --limit or --output json all that these allow.
/// `observer explain ID` tells the story of one.
///
/// Exit status: 0 something is listed, 1 nothing is, 2 an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer closes --cause write_after_peer_fin     requests that met a closed connection
  observer closes --comm nginx --since 10m         the last ten minutes of nginx
  observer closes --follow --outcome reset_sent    and those to come")]
pub(crate) struct ClosesArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// Show the last failing writes that the daemon saw
///
/// Oldest first, the newest last: the newest 100, or with --since, --limit or --output json all that these allow. The ID is
/// that of the connection's close, where that is known: `observer explain ID` tells its story.
///
/// Exit status: 0 something is listed, 1 nothing is, 2 an error.
#[derive(Debug, Args)]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those since then: a time span such as 5m or 1d, a time of day in UTC such as 14:05, or a time as
    /// 2026-01-31T12:00:00Z
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<Since>,
    /// Then go on with those to come, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// How results are written: a table, or one JSON object a line
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// The newest that are shown where nothing says how many, or since when, and people are to read them.
const LIMIT: usize = 100;

pub(crate) fn closes(args: &ClosesArgs) -> anyhow::Result<ExitCode> {
    args.list.run(Ask::Closes, verdict)
}

pub(crate) fn errors(args: &ErrorsArgs) -> anyhow::Result<ExitCode> {
    if args.list.filter.filter().outcome.is_some() {
        bail!("failing writes have no outcome, which is a close's: --cause or --errno may be meant");
    }
    args.list.run(Ask::Errors, failure)
}

fn verdict(line: &Value) -> (String, String) {
    let (outcome, cause) = (word(line, "/outcome"), word(line, "/cause"));
    let verdict = if outcome == cause { cause.to_owned() } else { format!("{outcome}/{cause}") };
    (word(line, "/id").to_owned(), verdict)
}

fn failure(line: &Value) -> (String, String) {
    (word(line, "/close_id").to_owned(), format!("{}/{}", word(line, "/errno"), word(line, "/cause")))
}

/// Id and verdict of a line.
type Named = fn(&Value) -> (String, String);

impl ListArgs {
    fn run(&self, ask: fn(List) -> Ask, named: Named) -> anyhow::Result<ExitCode> {
        super::log::to_stderr();
        let now = Timestamp::now();
        let all = self.since.is_some() || self.output == Format::Json;
        let limit = self.filter.limit().map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.unwrap_or(if all { usize::MAX } else { LIMIT });
        let mut lines = self.daemon.ask(&ask(List {
            filter: self.filter.filter(),
            since_ns: self.since.map(|since| since.unix_ns(now)),
            limit,
            follow: self.follow,
        }))?;
        let told = match (self.output, self.follow) {
            (Format::Text, false) => write_table(&mut lines, named, now)?,
            _ => write_lines(&mut lines, named, self.output, now)?,
        };
        if let Some(shown) = lines.end.as_ref().filter(|end| end.more).map(|end| end.told) {
            log::info!("these are the newest {shown}; --limit shows more");
        }
        if told == 0 {
            log::info!("nothing in the daemon's history, or nothing that was asked for");
            return Ok(ExitCode::from(1));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(text: &str, named: Named, today: &str) -> anyhow::Result<[String; 7]> {
    let line: Value = serde_json::from_str(text).context("reading the daemon's answer")?;
    let (id, verdict) = named(&line);
    Ok([
        time_of_day(word(&line, "/time"), today),
        id,
        verdict,
        process(&line),
        end(&line, "local"),
        end(&line, "remote"),
        word(&line, "/summary").to_owned(),
    ])
}

fn write_table(lines: &mut Lines, named: Named, now: Timestamp) -> anyhow::Result<usize> {
    let today = now.to_string();
    let mut rows = Vec::new();
    for line in lines {
        rows.push(row(&line?, named, &today)?);
    }
    let told = rows.len();
    if told > 0 {
        let columns = ["TIME (UTC)", "ID", "VERDICT", "PROCESS", "LOCAL", "REMOTE", "IN WORDS"].map(words);
        let mut out = BufWriter::new(stdout().lock());
        let write = || {
            table::lines(columns, rows, width()).iter().try_for_each(|line| writeln!(out, "{line}"))?;
            out.flush()
        };
        write().context("writing to stdout")?;
    }
    Ok(told)
}

/// As they come.
fn write_lines(lines: &mut Lines, named: Named, format: Format, now: Timestamp) -> anyhow::Result<usize> {
    let today = now.to_string();
    let mut told = 0;
    for line in lines {
        let line = line?;
        let shown = match format {
            Format::Json => line,
            Format::Text => {
                let [time, id, verdict, process, local, remote, words] = row(&line, named, &today)?;
                let ends = format!("{local} > {remote}");
                let line = format!("{time}  {id:<18}  {verdict:<36}  {process:<20}  {ends}  {words}");
                table::cut(&line, width())
            }
        };
        // A line at a time, since the next may be long in coming.
        writeln!(stdout().lock(), "{shown}").context("writing to stdout")?;
        told += 1;
    }
    Ok(told)
}
