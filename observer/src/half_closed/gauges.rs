//! Half-closed connections as gauges: how many each process has, and for how long the oldest has been.

use std::collections::BTreeMap;

use super::HalfClosed;
use crate::{event::Task, words::Side};

/// What one side left open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SideGauges {
    /// How many each process owns, by process id; None are those without a known owner.
    pub held: BTreeMap<Option<u32>, Held>,
    /// Age of the oldest, ns, or a lower bound of it; None without any of which something is known.
    pub oldest_ns: Option<u64>,
}

/// What one process owns.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// The process; None for nobody.
    pub task: Option<Task>,
    /// Half-closed connections.
    pub connections: u64,
}

/// Both sides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// This host has sent its FIN, the peer has not.
    pub local: SideGauges,
    /// The peer has sent its FIN, this host has not.
    pub remote: SideGauges,
}

/// Counts. A connection that several processes own is the first one's.
#[must_use]
pub fn gauges(sockets: &[HalfClosed]) -> Gauges {
    let mut gauges = Gauges::default();
    for socket in sockets {
        let side = match socket.side {
            Side::Local => &mut gauges.local,
            Side::Remote => &mut gauges.remote,
        };
        let task = socket.owner.task().copied();
        let held = side.held.entry(task.map(|task| task.pid)).or_insert(Held { task, connections: 0 });
        held.connections += 1;
        side.oldest_ns = side.oldest_ns.max(socket.age.ns());
    }
    gauges
}
