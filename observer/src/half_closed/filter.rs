//! Which half-closed connections somebody wants to see.

use super::HalfClosed;
use crate::{
    event::{Comm, Endpoints},
    filter::{AddressFilter, is_in_cgroup},
    owner::Cgroups,
    words::Side,
};

/// What a connection must be. What is None may be anything.
#[derive(Debug, Clone, Default)]
pub struct HalfClosedFilter {
    /// Who has sent a FIN.
    pub side: Option<Side>,
    /// Process id of an owner.
    pub pid: Option<u32>,
    /// Process name of an owner; of the same owner, when both are given.
    pub comm: Option<Comm>,
    /// systemd unit of an owner; of the same again.
    pub unit: Option<String>,
    /// Its container's id or name, or the beginning of one.
    pub container: Option<String>,
    /// Our end.
    pub local: Option<AddressFilter>,
    /// Their end.
    pub remote: Option<AddressFilter>,
    /// Port of either end.
    pub port: Option<u16>,
}

impl HalfClosedFilter {
    /// Whether to keep it. An owner that was asked for becomes the first, so that it is the one that is shown.
    pub fn keep(&self, socket: &mut HalfClosed, cgroups: &mut Cgroups) -> bool {
        let fits = |filter: Option<AddressFilter>, end| filter.is_none_or(|filter| filter.fits(end));
        let Endpoints { local, remote, .. } = socket.endpoints;
        self.side.is_none_or(|side| side == socket.side)
            && fits(self.local, local)
            && fits(self.remote, remote)
            && self.port.is_none_or(|port| port == local.port() || port == remote.port())
            && self.keep_owner(socket, cgroups)
    }

    fn keep_owner(&self, socket: &mut HalfClosed, cgroups: &mut Cgroups) -> bool {
        let Self { pid, comm, unit, container, .. } = self;
        if pid.is_none() && comm.is_none() && unit.is_none() && container.is_none() {
            return true;
        }
        socket.owner.prefer(|task| {
            pid.is_none_or(|pid| pid == task.pid)
                && comm.is_none_or(|comm| comm == task.comm)
                && is_in_cgroup(task, unit.as_deref(), container.as_deref(), cgroups)
        })
    }
}
