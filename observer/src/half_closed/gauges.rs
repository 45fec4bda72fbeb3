//! Half-closed connections as gauges: how many each owner has, and for how long the oldest has been.

use std::collections::BTreeMap;

use super::HalfClosed;
use crate::event::{Side, Task};

/// What one side left open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SideGauges {
    /// Connections by what their owner is called.
    pub connections: BTreeMap<String, u64>,
    /// Age of the oldest, ns, or a lower bound of it; None without any of which something is known.
    pub oldest_ns: Option<u64>,
}

/// Both sides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// This host has sent its FIN, the peer has not.
    pub local: SideGauges,
    /// The peer has sent its FIN, this host has not.
    pub remote: SideGauges,
}

/// Counts. `owner` names the process that holds a connection; the first, where several do.
pub fn gauges(sockets: &[HalfClosed], mut owner: impl FnMut(Option<&Task>) -> String) -> Gauges {
    let mut gauges = Gauges::default();
    for socket in sockets {
        let side = match socket.side {
            Side::Local => &mut gauges.local,
            Side::Remote => &mut gauges.remote,
        };
        let owner = owner(socket.holders.first().map(|holder| &holder.task));
        *side.connections.entry(owner).or_default() += 1;
        side.oldest_ns = side.oldest_ns.max(socket.age.ns());
    }
    gauges
}
