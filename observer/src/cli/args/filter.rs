//! The filters of the command line, shared by the commands that show reports.

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    classify::{Cause, Outcome, StrayCause, WriteCause},
    event::Comm,
    filter::{AddressFilter, Filter},
    words::errno,
};

/// Which reports to show: all conditions must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only those of the process with this id
    #[arg(long)]
    pid: Option<u32>,
    /// Only those of processes of this name
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Only those of this systemd unit, such as nginx.service
    #[arg(long)]
    unit: Option<String>,
    /// Only those of the container whose id begins so, or has this name
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Only those with this address or port at our end
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    local: Option<AddressFilter>,
    /// Only those with this address or port at the peer's end
    #[arg(long, value_name = "ADDR[:PORT]|:PORT")]
    remote: Option<AddressFilter>,
    /// Only those with this port at either end
    #[arg(long)]
    port: Option<u16>,
    /// Only closes with this outcome
    #[arg(long, value_parser = outcomes(), hide_possible_values = true, long_help = outcomes_help())]
    outcome: Option<String>,
    /// Only closes, write errors and resets with this cause
    #[arg(long, value_parser = causes(), hide_possible_values = true, long_help = causes_help())]
    cause: Option<String>,
    /// Only write errors with this errno, and closes that had such, such as EPIPE
    #[arg(long, value_parser = PossibleValuesParser::new(errno::NAMES), hide_possible_values = true)]
    errno: Option<String>,
    /// So many at most: of what is remembered the newest, of groups (top) the largest, 20 unless told otherwise; what goes on
    /// ends after them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl FilterArgs {
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            pid: self.pid,
            comm: self.comm.as_deref().map(Comm::from),
            unit: self.unit.clone(),
            container: self.container.clone(),
            local: self.local,
            remote: self.remote,
            port: self.port,
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
    // Kinds share words, and each must be offered once.
    let mut words = [closes, writes, resets].concat();
    words.sort_unstable();
    words.dedup();
    PossibleValuesParser::new(words)
}

fn causes_help() -> String {
    let [closes, writes, resets] = of_kinds().map(words);
    format!(
        "Only closes, write errors and resets with this cause\n\nCloses: {closes}\n\nWrite errors: {writes}\n\nResets \
         without a connection: {resets}"
    )
}

/// Causes of closes, of write errors, and of resets without a connection.
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
