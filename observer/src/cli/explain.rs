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
use jiff::Timestamp;

use super::{history_range, output::Format, terminal::width};
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
/// The ladder has one row per event: the time in milliseconds, the call, and the bytes in the queues. The local end
/// is on the left, the peer's end on the right, and the packets that opened and closed the connection are between
/// them. The name of a packet stands at the end that sent or received it. If both ends are on this host, both have
/// rows.
///
/// Name the connection by the ID of its close (see `observer closes`), or by one or both of its addresses, in any
/// order. If several connections match, the last one that ended is shown.
///
/// Exit status: 0 shown, 1 no match, 2 error
#[derive(Debug, Args)]
#[command(
    override_usage = "observer explain [OPTIONS] <ID|ADDR:PORT>...",
    after_help = "Examples:
  observer explain 267dd6598cd-4e2f
  observer explain 192.0.2.1:51820 192.0.2.2:443
  observer explain :443                            the last close on port 443
  observer explain --recording FILE :443           from a recording, without a daemon"
)]
pub(crate) struct ExplainArgs {
    /// ID of a close, or one or both addresses of a connection
    // Checked in `which` instead of by clap, whose message for a missing value names no example.
    #[arg(value_name = "ID|ADDR:PORT", num_args = 0..=3)]
    which: Vec<String>,
    /// Read a recording of `observer trace --record` instead of asking the daemon
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Output format: a ladder, or one JSON object
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let which = which(&args.which)?;
    let line = match &args.recording {
        Some(path) => recorded(path, &which)?.ok_or_else(|| "No such close in this recording.".to_owned()),
        None => asked(&args.daemon, which)?,
    };
    let line = match line {
        Ok(line) => line,
        Err(no_match) => {
            log::info!("{no_match}");
            return Ok(ExitCode::from(1));
        }
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

/// An ID, or addresses in the forms that people copy: `A B`, `A > B`, `A,B`.
fn which(words: &[String]) -> anyhow::Result<StorySelector> {
    if words.is_empty() {
        bail!("missing ID or address; e.g. `observer explain :443`");
    }
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
                end.parse().with_context(|| format!("{end:?} is neither the ID of a close nor an address"))
            });
            Ok(StorySelector::Ends(ends.collect::<anyhow::Result<_>>()?))
        }
        _ => bail!("expected the ID of a close, or one or two addresses"),
    }
}

/// The story from the daemon, or the message that there is none.
fn asked(daemon: &DaemonArgs, which: StorySelector) -> anyhow::Result<Result<String, String>> {
    let mut lines = daemon.ask(&Request::Explain { which })?;
    if let Some(line) = lines.next().transpose()? {
        return Ok(Ok(line));
    }
    let range = lines.end.and_then(|end| end.history);
    let start = range.map_or_else(String::new, |range| {
        format!(" (starts {})", history_range::start(&range, &Timestamp::now().to_string()))
    });
    let hint = "`observer half-closed` lists connections that have not ended.";
    Ok(Err(format!("No such close in history{start}. {hint}")))
}

/// Replays a recording into a history, and returns the story from it.
fn recorded(path: &Path, which: &StorySelector) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let input = File::open(path).with_context(|| format!("opening the recording {shown}"))?;
    let recording =
        Recording::open(BufReader::new(input)).with_context(|| format!("reading the recording {shown}"))?;
    let clock = recording.header.clock_offset_ns;
    let limits =
        HistoryLimits { closes: usize::MAX, errors: usize::MAX, bytes: usize::MAX, age: Duration::MAX };
    // Cgroup ids of the recording mean nothing on this host.
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
    Ok(Some(serde_json::to_string(&explanation).context("rendering the story")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_in_the_forms_that_people_copy() {
        let named = |words: &[&str]| which(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named(&["267dd6598cd-4e2f"]).unwrap(), StorySelector::Id("267dd6598cd-4e2f".to_owned()));
        let both = named(&["127.0.0.1:1", "[::1]:2"]).unwrap();
        assert_eq!(named(&["127.0.0.1:1", ">", "[::1]:2"]).unwrap(), both);
        assert_eq!(named(&["127.0.0.1:1 > [::1]:2"]).unwrap(), both);
        assert_eq!(named(&["127.0.0.1:1,[::1]:2"]).unwrap(), both);
        assert!(matches!(named(&[":443"]).unwrap(), StorySelector::Ends(ends) if ends.len() == 1));
        for wrong in [&[][..], &["nonsense"], &["a", "b", "c"], &[","], &["-"]] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
    }
}
