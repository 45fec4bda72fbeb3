//! Which half-closed connections somebody wants to see.

use super::HalfClosed;
use crate::{
    event::{Comm, Side},
    filter::AddressFilter,
};

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
