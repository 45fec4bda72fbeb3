//! Which reports somebody wants to see.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;

use crate::{event::Comm, owner::Cgroups, publish::errno, report::Report};

/// What a report must be. What is None may be anything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Process id.
    pub pid: Option<u32>,
    /// Process name.
    pub comm: Option<Comm>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id or name, or the beginning of one.
    pub container: Option<String>,
    /// Our end.
    pub local: Option<AddressFilter>,
    /// Their end.
    pub remote: Option<AddressFilter>,
    /// Outcome of a close; other reports have none and do not fit.
    pub outcome: Option<String>,
    /// Cause, of any kind of report.
    pub cause: Option<String>,
    /// Errno of a failed send, or of one of a close's failed sends.
    pub errno: Option<String>,
}

impl Filter {
    /// Whether the report is wanted.
    pub fn fits(&self, report: &Report, cgroups: &mut Cgroups) -> bool {
        let endpoints = report.endpoints();
        self.local.is_none_or(|filter| filter.fits(endpoints.local))
            && self.remote.is_none_or(|filter| filter.fits(endpoints.remote))
            && self.fits_words(report)
            && self.fits_process(report, cgroups)
    }

    fn fits_words(&self, report: &Report) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let (outcome, cause) = match report {
            Report::Close(verdict) => (Some(verdict.outcome.word()), Some(verdict.cause.word())),
            Report::WriteError(failure) => (None, Some(failure.verdict.cause.word())),
            Report::StrayReset(reset) => (None, Some(reset.cause.word())),
            Report::LingerExpired(_) => (None, None),
        };
        let failed = self.errno.as_deref().is_none_or(|wanted| match report {
            Report::Close(verdict) => {
                verdict.write_errors.keys().any(|number| errno::name(*number) == wanted)
            }
            Report::WriteError(failure) => errno::name(failure.errno) == wanted,
            Report::StrayReset(_) | Report::LingerExpired(_) => false,
        });
        is(&self.outcome, outcome) && is(&self.cause, cause) && failed
    }

    fn fits_process(&self, report: &Report, cgroups: &mut Cgroups) -> bool {
        if self.pid.is_none() && self.comm.is_none() && self.unit.is_none() && self.container.is_none() {
            return true;
        }
        let Some(task) = report.process() else { return false };
        let mut fits =
            self.pid.is_none_or(|pid| pid == task.pid) && self.comm.is_none_or(|comm| comm == task.comm);
        if fits && (self.unit.is_some() || self.container.is_some()) {
            let cgroup = cgroups.get(task.cgroup);
            let unit = cgroup.as_ref().and_then(|cgroup| cgroup.unit.as_deref());
            let container = cgroup.as_ref().and_then(|cgroup| cgroup.container.as_deref());
            fits = self.unit.as_deref().is_none_or(|wanted| unit == Some(wanted))
                && self
                    .container
                    .as_deref()
                    .is_none_or(|wanted| container.is_some_and(|id| id.starts_with(wanted)));
        }
        fits
    }
}

/// An address, a port, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressFilter {
    ip: Option<IpAddr>,
    port: Option<u16>,
}

/// Not an address of any form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected ADDR, ADDR:PORT or :PORT, with brackets around an IPv6 address that a port follows")]
pub struct NotAnAddress;

impl AddressFilter {
    /// Whether the end of a connection is such.
    #[must_use]
    pub fn fits(self, end: SocketAddr) -> bool {
        self.ip.is_none_or(|ip| ip == end.ip()) && self.port.is_none_or(|port| port == end.port())
    }
}

impl FromStr for AddressFilter {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        // First, since "::1" is an address and no port.
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let (ip, port) = if let Ok(ip) = bare.parse::<IpAddr>() {
            (Some(ip), None)
        } else if let Ok(both) = text.parse::<SocketAddr>() {
            (Some(both.ip()), Some(both.port()))
        } else {
            let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
            (None, Some(port.ok_or(NotAnAddress)?))
        };
        // Addresses are compared as they are on the wire.
        Ok(Self { ip: ip.map(|ip| ip.to_canonical()), port })
    }
}

#[cfg(test)]
mod tests;
