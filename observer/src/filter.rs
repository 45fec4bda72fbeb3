//! Filters: which reports a user wants to see.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    event::{Comm, Endpoints, Task},
    owner::Cgroups,
    report::{Report, WriteFailure},
    words::errno,
};

/// Conditions for a report. A condition that is None fits every report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Process id in the initial pid namespace.
    pub pid: Option<u32>,
    /// Process name.
    pub comm: Option<Comm>,
    /// Full name of the systemd unit.
    pub unit: Option<String>,
    /// Container id or name, or its beginning.
    pub container: Option<String>,
    /// This host's end.
    pub local: Option<AddressFilter>,
    /// The peer's end.
    pub remote: Option<AddressFilter>,
    /// Port of either end.
    pub port: Option<u16>,
    /// Outcome of a close. Other reports have none and do not fit.
    pub outcome: Option<String>,
    /// Cause, for any kind of report.
    pub cause: Option<String>,
    /// Name of the errno of a write error, or of one of a close's failed sends.
    pub errno: Option<String>,
}

/// The fields of a report, packed or not, that a filter compares.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Both ends.
    pub endpoints: &'a Endpoints,
    /// The process; None if it is not known.
    pub process: Option<&'a Task>,
    /// The outcome of a close; None for other reports.
    pub outcome: Option<&'a str>,
    /// The cause; None if the kind of report has none.
    pub cause: Option<&'a str>,
    /// Failed sends.
    pub failed: Failed<'a>,
}

/// The failed sends of a report.
#[derive(Debug, Clone, Copy)]
pub enum Failed<'a> {
    /// The failed sends of a close: errno → number.
    Some(&'a BTreeMap<u32, u32>),
    /// The one failed send of a write error, by errno.
    This(u32),
    /// The kind of report has no failed sends.
    None,
}

impl<'a> Subject<'a> {
    /// The fields of a write error.
    #[must_use]
    pub const fn of_failure(failure: &'a WriteFailure) -> Self {
        Self {
            endpoints: &failure.endpoints,
            process: failure.process.as_ref(),
            outcome: None,
            cause: Some(failure.verdict.cause.word()),
            failed: Failed::This(failure.errno),
        }
    }

    /// The fields of any report.
    #[must_use]
    pub fn of(report: &'a Report) -> Self {
        let (outcome, cause, failed) = match report {
            Report::Close(verdict) => (
                Some(verdict.head.outcome.word()),
                Some(verdict.head.cause.word()),
                Failed::Some(&verdict.head.write_errors),
            ),
            Report::WriteError(failure) => return Self::of_failure(failure),
            Report::StrayReset(reset) => (None, Some(reset.cause.word()), Failed::None),
            Report::LingerExpired(_) => (None, None, Failed::None),
        };
        Self { endpoints: report.endpoints(), process: report.process(), outcome, cause, failed }
    }
}

impl Filter {
    /// Whether the report fits. `cgroups` resolves the unit and the container.
    pub fn fits(&self, report: &Report, cgroups: &mut Cgroups) -> bool {
        self.fits_subject(&Subject::of(report), cgroups)
    }

    /// Whether a report with these fields fits.
    pub fn fits_subject(&self, subject: &Subject<'_>, cgroups: &mut Cgroups) -> bool {
        self.local.is_none_or(|filter| filter.fits(subject.endpoints.local))
            && self.remote.is_none_or(|filter| filter.fits(subject.endpoints.remote))
            && self.fits_words(subject)
            && self.fits_process(subject.process, cgroups)
    }

    /// Whether every report fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn fits_words(&self, subject: &Subject<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let failed = self.errno.as_deref().is_none_or(|wanted| match subject.failed {
            Failed::Some(errors) => errors.keys().any(|number| errno::name(*number) == wanted),
            Failed::This(number) => errno::name(number) == wanted,
            Failed::None => false,
        });
        let Endpoints { local, remote, .. } = subject.endpoints;
        let port = self.port.is_none_or(|port| port == local.port() || port == remote.port());
        is(&self.outcome, subject.outcome) && is(&self.cause, subject.cause) && failed && port
    }

    fn fits_process(&self, task: Option<&Task>, cgroups: &mut Cgroups) -> bool {
        if self.pid.is_none() && self.comm.is_none() && self.unit.is_none() && self.container.is_none() {
            return true;
        }
        let Some(task) = task else { return false };
        self.pid.is_none_or(|pid| pid == task.pid)
            && self.comm.is_none_or(|comm| comm == task.comm)
            && is_in_cgroup(task, self.unit.as_deref(), self.container.as_deref(), cgroups)
    }
}

/// Whether the process belongs to this unit, and to a container whose id begins with `container`. None fits every
/// process.
pub(crate) fn is_in_cgroup(
    task: &Task,
    unit: Option<&str>,
    container: Option<&str>,
    cgroups: &mut Cgroups,
) -> bool {
    // Avoid the look-up if neither is wanted.
    if unit.is_none() && container.is_none() {
        return true;
    }
    let cgroup = cgroups.get(task.cgroup);
    let its_unit = cgroup.as_ref().and_then(|cgroup| cgroup.unit.as_deref());
    let its_container = cgroup.as_ref().and_then(|cgroup| cgroup.container.as_deref());
    unit.is_none_or(|wanted| its_unit == Some(wanted))
        && container.is_none_or(|wanted| its_container.is_some_and(|id| id.starts_with(wanted)))
}

/// An address, a port, or both. In JSON it is the text that the user types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressFilter {
    ip: Option<IpAddr>,
    port: Option<u16>,
}

/// The text is no address, no port and no pair of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected ADDR, ADDR:PORT or :PORT, with brackets around an IPv6 address that a port follows")]
pub struct NotAnAddress;

impl AddressFilter {
    /// Whether one end of a connection fits.
    #[must_use]
    pub fn fits(self, end: SocketAddr) -> bool {
        self.ip.is_none_or(|ip| ip == end.ip()) && self.port.is_none_or(|port| port == end.port())
    }
}

impl fmt::Display for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (Some(ip), Some(port)) => SocketAddr::new(ip, port).fmt(f),
            (Some(ip), None) => ip.fmt(f),
            (None, port) => write!(f, ":{}", port.unwrap_or_default()),
        }
    }
}

impl From<AddressFilter> for String {
    fn from(filter: AddressFilter) -> Self {
        filter.to_string()
    }
}

impl TryFrom<String> for AddressFilter {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl FromStr for AddressFilter {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        // The address comes first, because "::1" is an address and no port.
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let (ip, port) = if let Ok(ip) = bare.parse::<IpAddr>() {
            (Some(ip), None)
        } else if let Ok(both) = text.parse::<SocketAddr>() {
            (Some(both.ip()), Some(both.port()))
        } else {
            let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
            (None, Some(port.ok_or(NotAnAddress)?))
        };
        // An IPv4-mapped address is compared as IPv4, as it is on the wire.
        Ok(Self { ip: ip.map(|ip| ip.to_canonical()), port })
    }
}

#[cfg(test)]
mod tests;
