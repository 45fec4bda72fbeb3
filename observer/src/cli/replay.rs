//! `observer replay`: verdicts from a recording, without root and without a kernel.

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
/// The same verdicts as `observer trace` gave when it recorded, without a kernel; another version of the observer may know
/// better. What was not recorded, such as the names of containers, is missing.
///
/// Exit status: 0 something is shown, 1 nothing is, 2 an error.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recording of `observer trace --record`, or `-` for stdin
    file: PathBuf,
    /// How results are written
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
            bail!("a recording is expected on stdin, which is a terminal");
        }
        Box::new(stdin())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("opening the recording {shown}"))?)
    };
    let recording =
        Recording::open(BufReader::new(input)).with_context(|| format!("reading the recording {shown}"))?;
    // Cgroup ids are the recorded host's.
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
            // What was read up to there is told before the error is.
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
            log::info!("nothing has ended in this recording, or nothing that was asked for");
            Ok(ExitCode::from(1))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}
