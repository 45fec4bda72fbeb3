//! `observer closes` and `observer errors`: the newest lines of the daemon's history.

use std::{
    io::{BufWriter, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{
    args::{daemon::DaemonArgs, filter::FilterArgs, since::Since},
    output::Format,
    terminal::{time_of_day, width},
};
use crate::{
    console_log,
    query::{List, Request, client::Lines},
    render::{
        json::{CloseLine, ConnectionJson, ProcessJson, ReportLine, WriteErrorLine},
        table::{self, words},
    },
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
    args.list.run::<CloseLine>(Request::Closes)
}

pub(crate) fn errors(args: &ErrorsArgs) -> anyhow::Result<ExitCode> {
    if args.list.filter.filter().outcome.is_some() {
        bail!("write errors have no outcome; use --cause or --errno");
    }
    args.list.run::<WriteErrorLine>(Request::Errors)
}

/// A kind of line that can be listed.
trait TableLine: DeserializeOwned {
    /// What every kind has.
    fn common(&self) -> (&str, Option<&ProcessJson>, &ConnectionJson);
    /// The id for `observer explain`, and the verdict in one word.
    fn id_and_verdict(&self) -> (String, String);
}

impl TableLine for CloseLine {
    fn common(&self) -> (&str, Option<&ProcessJson>, &ConnectionJson) {
        (&self.time, self.process.as_ref(), &self.connection)
    }

    fn id_and_verdict(&self) -> (String, String) {
        (self.id.clone(), self.verdict())
    }
}

impl TableLine for WriteErrorLine {
    fn common(&self) -> (&str, Option<&ProcessJson>, &ConnectionJson) {
        (&self.time, self.process.as_ref(), &self.connection)
    }

    fn id_and_verdict(&self) -> (String, String) {
        let id = self.close_id.clone().unwrap_or_else(|| "-".to_owned());
        (id, format!("{}/{}", self.errno, self.cause))
    }
}

impl ListArgs {
    fn run<L: TableLine>(&self, request: fn(List) -> Request) -> anyhow::Result<ExitCode> {
        console_log::init();
        let now = Timestamp::now();
        let all = self.since.is_some() || self.output == Format::Json;
        let limit = self.filter.limit().map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.unwrap_or(if all { usize::MAX } else { LIMIT });
        let mut lines = self.daemon.ask(&request(List {
            filter: self.filter.filter(),
            since_ns: self.since.map(|since| since.unix_ns(now)),
            limit,
            follow: self.follow,
        }))?;
        let count = match (self.output, self.follow) {
            (Format::Text, false) => write_table::<L>(&mut lines, now)?,
            _ => write_lines::<L>(&mut lines, self.output, now)?,
        };
        if let Some(shown) = lines.end.as_ref().filter(|end| end.more).map(|end| end.told) {
            log::info!("these are the newest {shown}; --limit N shows more");
        }
        if count == 0 {
            log::info!("no match in the daemon's history; `observer status` shows how far back it reaches");
            return Ok(ExitCode::from(1));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row<L: TableLine>(text: &str, today: &str) -> anyhow::Result<[String; 7]> {
    let line: ReportLine<L> = serde_json::from_str(text).context("reading the daemon's answer")?;
    let (id, verdict) = line.body.id_and_verdict();
    let (time, process, connection) = line.body.common();
    Ok([
        time_of_day(time, today),
        id,
        verdict,
        process.map_or_else(|| "-".to_owned(), ToString::to_string),
        connection.local.to_string(),
        connection.remote.to_string(),
        line.summary,
    ])
}

fn write_table<L: TableLine>(lines: &mut Lines, now: Timestamp) -> anyhow::Result<usize> {
    let today = now.to_string();
    let mut rows = Vec::new();
    for line in lines {
        rows.push(row::<L>(&line?, &today)?);
    }
    let count = rows.len();
    if count > 0 {
        let columns = ["TIME (UTC)", "ID", "VERDICT", "PROCESS", "LOCAL", "REMOTE", "IN WORDS"].map(words);
        let mut out = BufWriter::new(stdout().lock());
        let write = || {
            table::lines(&columns, rows, width()).iter().try_for_each(|line| writeln!(out, "{line}"))?;
            out.flush()
        };
        write().context("writing to stdout")?;
    }
    Ok(count)
}

/// Writes each line when it comes.
fn write_lines<L: TableLine>(lines: &mut Lines, format: Format, now: Timestamp) -> anyhow::Result<usize> {
    let today = now.to_string();
    let mut count = 0;
    for line in lines {
        let line = line?;
        let shown = match format {
            Format::Json => line,
            Format::Text => {
                let [time, id, verdict, process, local, remote, words] = row::<L>(&line, &today)?;
                let ends = format!("{local} > {remote}");
                let line = format!("{time}  {id:<18}  {verdict:<36}  {process:<20}  {ends}  {words}");
                table::cut(&line, width())
            }
        };
        // Not buffered: the next line may be long in coming.
        writeln!(stdout().lock(), "{shown}").context("writing to stdout")?;
        count += 1;
    }
    Ok(count)
}
