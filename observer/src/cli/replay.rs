//! `observer replay`: verdicts from a recording, without root and without BPF.

use std::{
    fs::File,
    io::{BufReader, IsTerminal as _, stdin},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::output::{Format, Output};
use crate::{
    cli::args::filter::FilterArgs, owner::Cgroups, pipeline::Pipeline, report::Report,
    source::recording::Recording, story::table::TableLimits,
};

/// Show verdicts from a recording; needs no root
///
/// The verdicts are those that `observer trace` showed while it recorded; a newer observer may improve them. Names that
/// a recording does not contain, such as containers and units, are missing.
///
/// Exit status: 0 shown, 1 no match, 2 error
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recording of `observer trace --record`; `-` reads stdin
    file: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    crate::console_log::init();
    let shown = args.file.display();
    let input: Box<dyn std::io::Read> = if args.file.as_os_str() == "-" {
        if stdin().is_terminal() {
            bail!("expected a recording on stdin, but stdin is a terminal");
        }
        Box::new(stdin())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("opening the recording {shown}"))?)
    };
    let recording =
        Recording::open(BufReader::new(input)).with_context(|| format!("reading the recording {shown}"))?;
    // Cgroup ids of the recording mean nothing on this host.
    let mut output = Output::new(args.output, recording.header.clock_offset_ns, Cgroups::none());
    output = output.filtered(args.filter.filter(), args.filter.limit());
    let mut pipeline = Pipeline::new(TableLimits::default());
    let mut broken = None;
    for event in recording {
        if output.is_full() {
            break;
        }
        match event {
            Ok(event) => {
                pipeline.apply(&event, &mut |report: &Report| output.write(report));
            }
            // Report the events before the error first.
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    pipeline.finish(&mut |report| output.write(report));
    output.flush().context("writing to stdout")?;
    match broken {
        Some(error) => Err(error).with_context(|| format!("reading the recording {shown}")),
        None if output.written() == 0 => {
            log::info!("no match in this recording");
            Ok(ExitCode::from(1))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}
