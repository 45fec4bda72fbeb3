//! Which half-closed connections somebody wants to see.

use std::{net::IpAddr, net::SocketAddr, str::FromStr};

use thiserror::Error;

use super::HalfClosed;
use crate::event::{Comm, Side};

/// What a connection must be. What is None may be anything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Who has sent a FIN.
    pub side: Option<Side>,
    /// Process id of a holder.
    pub pid: Option<u32>,
    /// Process name of a holder; of the same holder, when both are given.
    pub comm: Option<Comm>,
    /// Our end.
    pub local: Option<AddressFilter>,
    /// Their end.
    pub remote: Option<AddressFilter>,
}

impl Filter {
    /// Whether to keep it. A holder that was asked for becomes the first, so that it is the one that is shown.
    pub fn keep(&self, socket: &mut HalfClosed) -> bool {
        let fits = |filter: Option<AddressFilter>, end| filter.is_none_or(|filter| filter.fits(end));
        self.side.is_none_or(|side| side == socket.side)
            && fits(self.local, socket.endpoints.local)
            && fits(self.remote, socket.endpoints.remote)
            && self.keep_holder(socket)
    }

    fn keep_holder(&self, socket: &mut HalfClosed) -> bool {
        if self.pid.is_none() && self.comm.is_none() {
            return true;
        }
        let asked = socket.holders.iter().position(|holder| {
            self.pid.is_none_or(|pid| pid == holder.task.pid)
                && self.comm.is_none_or(|comm| comm == holder.task.comm)
        });
        if let Some(asked) = asked {
            socket.holders.swap(0, asked);
        }
        asked.is_some()
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
    fn fits(self, end: SocketAddr) -> bool {
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
