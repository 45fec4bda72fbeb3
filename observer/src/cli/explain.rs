//! `observer explain`: the story of one connection as a ladder.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write as _, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::output::Format;
use super::terminal::width;
use crate::{
    cli::args::daemon::DaemonArgs,
    history::{History, HistoryLimits, StorySelector, pack::PackedReport},
    owner::Cgroups,
    pipeline::Pipeline,
    query::Request,
    render::ladder::{self, Explanation},
    report::Report,
    source::recording::Recording,
    story::table,
};

/// Show the story of one connection as a ladder
///
/// Our end stands on the left, the peer's on the right, with the packets that opened and closed the connection between
/// them, the calls, what was in the queues, and the time of each in milliseconds. Where both ends are on this host,
/// both are told. A packet's name stands at the side that saw it leave or come.
///
/// The connection is named by the ID of its verdict (`observer closes`), or by one end of it or both, in any order;
/// of several connections it is the last that ended.
///
/// Exit status: 0 it is told, 1 there is none, 2 an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer explain 267dd6598cd-4e2f
  observer explain 192.0.2.1:51820 192.0.2.2:443
  observer explain :443                            the last one of that port
  observer explain --recording F :443              from a recording, without a daemon")]
pub(crate) struct ExplainArgs {
    /// ID of a verdict, or ends of a connection
    #[arg(value_name = "ID|ADDR:PORT", required = true, num_args = 1..=3)]
    which: Vec<String>,
    /// From a recording of `observer trace --record` instead of the daemon
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// How results are written: for people, or one JSON object
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let which = which(&args.which)?;
    let line = match &args.recording {
        Some(path) => recorded(path, &which)?,
        None => args.daemon.ask(&Request::Explain { which })?.next().transpose()?,
    };
    let Some(line) = line else {
        log::info!(
            "no such connection has ended, as far as is remembered; `observer half-closed` shows what is not over yet"
        );
        return Ok(ExitCode::from(1));
    };
    let text = match args.output {
        Format::Json => vec![line],
        Format::Text => {
            let explanation: Explanation = serde_json::from_str(&line).context("reading the story")?;
            ladder::draw(&explanation, width())
        }
    };
    let mut out = BufWriter::new(stdout().lock());
    let mut write = || {
        text.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    };
    write().context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// An id, or ends as people copy them: `A B`, `A > B`, `A,B`.
fn which(words: &[String]) -> anyhow::Result<StorySelector> {
    let joined = words.join(" ");
    let words: Vec<_> =
        joined.split([' ', ',', '>']).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
    let is_id = |word: &str| {
        let parts = word.split_once('-');
        parts.is_some_and(|(ns, sock)| [ns, sock].iter().all(|part| u64::from_str_radix(part, 16).is_ok()))
    };
    match words.as_slice() {
        [id] if is_id(id) => Ok(StorySelector::Id(id.clone())),
        ends @ ([_] | [_, _]) => {
            let ends = ends.iter().map(|end| {
                let wrong = "give the ID of a verdict, or one or two ends";
                end.parse().with_context(|| format!("{end:?} names no connection: {wrong}"))
            });
            Ok(StorySelector::Ends(ends.collect::<anyhow::Result<_>>()?))
        }
        _ => bail!("a connection has two ends: give the ID of a verdict, or one or two ends"),
    }
}

/// The same from a recording, by way of a history of it.
fn recorded(path: &Path, which: &StorySelector) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let input = File::open(path).with_context(|| format!("opening the recording {shown}"))?;
    let recording =
        Recording::open(BufReader::new(input)).with_context(|| format!("reading the recording {shown}"))?;
    let clock = recording.header.clock_offset_ns;
    let limits =
        HistoryLimits { closes: usize::MAX, errors: usize::MAX, bytes: usize::MAX, age: Duration::MAX };
    // Cgroup ids are the recorded host's.
    let mut history = History::new(limits, Cgroups::none());
    let mut keep = |report: &Report| {
        if let Some(record) = PackedReport::of(report) {
            history.note(record);
        }
    };
    let mut pipeline = Pipeline::new(table::TableLimits::default());
    for event in recording {
        let event = event.with_context(|| format!("reading the recording {shown}"))?;
        pipeline.apply(&event, &mut keep);
    }
    pipeline.finish(&mut keep);
    let Some(found) = history.story(which) else { return Ok(None) };
    let explanation = ladder::explain(&found, clock, &mut history.cgroups);
    Ok(Some(serde_json::to_string(&explanation).context("writing the story")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_as_people_copy_them() {
        let named = |words: &[&str]| which(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named(&["267dd6598cd-4e2f"]).unwrap(), StorySelector::Id("267dd6598cd-4e2f".to_owned()));
        let both = named(&["127.0.0.1:1", "[::1]:2"]).unwrap();
        assert_eq!(named(&["127.0.0.1:1", ">", "[::1]:2"]).unwrap(), both);
        assert_eq!(named(&["127.0.0.1:1 > [::1]:2"]).unwrap(), both);
        assert_eq!(named(&["127.0.0.1:1,[::1]:2"]).unwrap(), both);
        assert!(matches!(named(&[":443"]).unwrap(), StorySelector::Ends(ends) if ends.len() == 1));
        for wrong in [&["nonsense"][..], &["a", "b", "c"], &[","], &["-"]] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
    }
}
