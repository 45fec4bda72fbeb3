//! Half-closed connections as gauges: the number per process, and the age of the oldest.

use std::collections::BTreeMap;

use super::HalfClosed;
use crate::{event::Task, words::Side};

/// Connections that are half-closed by one side.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SideGauges {
    /// The owners by process id. None collects the connections without a known owner.
    pub held: BTreeMap<Option<u32>, Held>,
    /// Age of the oldest or its lower bound, ns; None if no age is known.
    pub oldest_ns: Option<u64>,
}

/// The half-closed connections of one process.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// The process; None if it is not known.
    pub task: Option<Task>,
    /// Their number.
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

/// Counts connections by owner. A connection of several owners counts for the first.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::half_closed::{
        Age, Owner,
        fixtures::{holder, leaked, orphan, unaccepted},
    };

    #[test]
    fn gauges_count_by_side_and_process() {
        let older = HalfClosed { age: Age::Exact(100_000_000_000), ..leaked() };
        let both = vec![holder(13, "redis", 4), holder(12, "nginx", 4)];
        let other = HalfClosed { owner: Owner::Holders(both), ..leaked() };
        let closed = HalfClosed { owner: Owner::Closer(holder(14, "proxy", 0).task), ..orphan() };
        let found = gauges(&[leaked(), older, other, orphan(), unaccepted(), closed]);
        let held = |side: &SideGauges| -> Vec<_> {
            let held = side.held.values();
            held.map(|held| (held.task.map(|task| task.comm.to_string()), held.connections)).collect()
        };
        assert_eq!(held(&found.remote), [(Some("nginx".to_owned()), 3), (Some("redis".to_owned()), 1)]);
        assert_eq!(found.remote.oldest_ns, Some(100_000_000_000));
        assert_eq!(held(&found.local), [(None, 1), (Some("proxy".to_owned()), 1)]);
        assert_eq!(found.local.oldest_ns, None);
    }
}
