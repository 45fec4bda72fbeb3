//! `observer closes` and `observer errors`: the newest reports in the daemon's history.

use std::{
    io::{BufWriter, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{
    args::{daemon::DaemonArgs, filter::FilterArgs, since::SinceArgs},
    history_range,
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

/// List recent closes from the daemon's history
///
/// The newest is last. The list has the newest 100 closes; with --since, --limit or --output json it has all that
/// match. `observer explain ID` shows the story of one close.
///
/// Exit status: 0 listed, 1 no match, 2 error
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer closes --cause write_after_peer_fin     requests that were sent to a closed connection
  observer closes --comm nginx --since 10m         closes of nginx in the last ten minutes
  observer closes --follow --outcome reset_sent    resets that this host sent, and new ones as they happen")]
pub(crate) struct ClosesArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// List recent write errors from the daemon's history
///
/// The newest is last. The list has the newest 100 write errors; with --since, --limit or --output json it has all that
/// match. The ID names the close of the same connection, if it is known: `observer explain ID` shows its story.
///
/// Exit status: 0 listed, 1 no match, 2 error
#[derive(Debug, Args)]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    since: SinceArgs,
    /// Keep printing new closes, like tail -f
    #[arg(long)]
    follow: bool,
    /// Output format: a table, or one JSON object per line
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Default limit of a table without --since and --limit.
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

/// A kind of report that can be listed.
trait TableLine: DeserializeOwned {
    /// The name of many of them.
    const NAME: &str;
    /// The setting that limits how many the history holds.
    const LIMIT_SETTING: &str;
    /// Time, process and connection.
    fn common(&self) -> (&str, Option<&ProcessJson>, &ConnectionJson);
    /// The id for `observer explain`, and the verdict as one word.
    fn id_and_verdict(&self) -> (String, String);
}

impl TableLine for CloseLine {
    const NAME: &str = "closes";
    const LIMIT_SETTING: &str = "history.closes";

    fn common(&self) -> (&str, Option<&ProcessJson>, &ConnectionJson) {
        (&self.time, self.process.as_ref(), &self.connection)
    }

    fn id_and_verdict(&self) -> (String, String) {
        (self.id.clone(), self.verdict())
    }
}

impl TableLine for WriteErrorLine {
    const NAME: &str = "write errors";
    const LIMIT_SETTING: &str = "history.errors";

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
        let all = self.since.since.is_some() || self.output == Format::Json;
        let limit = self.filter.limit().map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.unwrap_or(if all { usize::MAX } else { LIMIT });
        let mut lines = self.daemon.ask(&request(List {
            filter: self.filter.filter(),
            since_ns: self.since.since.map(|since| since.unix_ns(now)),
            limit,
            follow: self.follow,
        }))?;
        let count = match (self.output, self.follow) {
            (Format::Text, false) => write_table::<L>(&mut lines, now)?,
            _ => write_lines::<L>(&mut lines, self.output, now)?,
        };
        if let Some(shown) = lines.end.as_ref().filter(|end| end.more).map(|end| end.told) {
            log::info!("showing the newest {shown}; --limit N shows more");
        }
        if count == 0 {
            let range = lines.end.as_ref().and_then(|end| end.history.as_ref());
            log::info!("{}", history_range::no_match(range, L::NAME, L::LIMIT_SETTING, &now.to_string()));
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
        let columns = ["TIME (UTC)", "ID", "VERDICT", "PROCESS", "LOCAL", "REMOTE", "SUMMARY"].map(words);
        let mut out = BufWriter::new(stdout().lock());
        let write = || {
            table::lines(&columns, rows, width()).iter().try_for_each(|line| writeln!(out, "{line}"))?;
            out.flush()
        };
        write().context("writing to stdout")?;
    }
    Ok(count)
}

/// Writes each line as soon as it arrives.
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
        // Not buffered: the next line may come much later.
        writeln!(stdout().lock(), "{shown}").context("writing to stdout")?;
        count += 1;
    }
    Ok(count)
}
