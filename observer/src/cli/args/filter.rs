//! Filters of the commands that show reports: closes, write errors and resets.

use clap::{Args, builder::PossibleValuesParser};

use super::connection::ConnectionArgs;
use crate::{
    classify::{Cause, Outcome, StrayCause, WriteCause},
    event::Comm,
    filter::Filter,
    words::errno,
};

/// Which reports to show, and how many. All conditions must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Only closes with this outcome
    #[arg(long, value_parser = outcomes(), hide_possible_values = true, long_help = outcomes_help())]
    outcome: Option<String>,
    /// Only closes, write errors and resets with this cause
    #[arg(long, value_parser = causes(), hide_possible_values = true, long_help = causes_help())]
    cause: Option<String>,
    /// Only write errors with this errno, such as EPIPE, and closes after such an error
    #[arg(long, value_parser = PossibleValuesParser::new(errno::NAMES), hide_possible_values = true)]
    errno: Option<String>,
    /// Show at most N: newest closes or write errors, or largest groups (top: 20); trace and replay stop after N
    ///
    /// With --follow the newest N come first. New ones follow without limit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl FilterArgs {
    pub(crate) fn filter(&self) -> Filter {
        let ConnectionArgs { pid, comm, unit, container, local, remote, port } = &self.connection;
        Filter {
            pid: *pid,
            comm: comm.as_deref().map(Comm::from),
            unit: unit.clone(),
            container: container.clone(),
            local: *local,
            remote: *remote,
            port: *port,
            outcome: self.outcome.clone(),
            cause: self.cause.clone(),
            errno: self.errno.clone(),
        }
    }

    pub(crate) const fn limit(&self) -> Option<u64> {
        self.limit
    }
}

fn outcomes() -> PossibleValuesParser {
    PossibleValuesParser::new(Outcome::ALL.iter().map(|outcome| outcome.word()))
}

fn outcomes_help() -> String {
    format!("Only closes with this outcome: {}", words(Outcome::ALL.iter().map(|outcome| outcome.word())))
}

fn causes() -> PossibleValuesParser {
    let [closes, writes, resets] = of_kinds();
    // The kinds share some words; offer each word once.
    let mut words = [closes, writes, resets].concat();
    words.sort_unstable();
    words.dedup();
    PossibleValuesParser::new(words)
}

fn causes_help() -> String {
    let [closes, writes, resets] = of_kinds().map(words);
    format!(
        "Only closes, write errors and resets with this cause\n\nCloses: {closes}\n\nWrite errors: {writes}\n\nResets \
         for no live connection: {resets}"
    )
}

/// Causes of closes, of write errors, and of resets for no live connection.
fn of_kinds() -> [Vec<&'static str>; 3] {
    [
        Cause::ALL.iter().map(|cause| cause.word()).collect(),
        WriteCause::ALL.iter().map(|cause| cause.word()).collect(),
        StrayCause::ALL.iter().map(|cause| cause.word()).collect(),
    ]
}

fn words(words: impl IntoIterator<Item = &'static str>) -> String {
    Vec::from_iter(words).join(", ")
}
