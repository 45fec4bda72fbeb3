//! The filters of the command line, shared by the commands that show reports.

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    classify::{Cause, Outcome, StrayCause, WriteCause},
    event::Comm,
    filter::{AddressFilter, Filter},
    publish::errno,
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
    #[arg(long, value_parser = outcomes(), hide_possible_values = true)]
    outcome: Option<String>,
    /// Only closes, write errors and resets with this cause
    #[arg(long, value_parser = causes(), hide_possible_values = true)]
    cause: Option<String>,
    /// Only write errors with this errno, and closes that had such, such as EPIPE
    #[arg(long, value_parser = PossibleValuesParser::new(errno::NAMES), hide_possible_values = true)]
    errno: Option<String>,
    /// So many at most: live or from a recording it ends after them, what the daemon remembers is cut to the newest
    #[arg(long, value_name = "N")]
    limit: Option<std::num::NonZeroU64>,
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

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit.map(std::num::NonZeroU64::get)
    }
}

fn outcomes() -> PossibleValuesParser {
    PossibleValuesParser::new(Outcome::ALL.iter().map(|outcome| outcome.word()))
}

fn causes() -> PossibleValuesParser {
    let closes = Cause::ALL.iter().map(|cause| cause.word());
    let writes = WriteCause::ALL.iter().map(|cause| cause.word());
    let resets = StrayCause::ALL.iter().map(|cause| cause.word());
    // Kinds share words, and each must be offered once.
    let mut words: Vec<_> = closes.chain(writes).chain(resets).collect();
    words.sort_unstable();
    words.dedup();
    PossibleValuesParser::new(words)
}
