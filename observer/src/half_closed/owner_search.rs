//! The owners of all connections of one snapshot, found with one pass through /proc.

use std::collections::HashMap;

use super::{diag::DiagSocket, fin::Fin, owner::Owner};
use crate::{
    event::Endpoints,
    owner::{Holder, Listeners, Scanner},
};

/// Processes by the socket that they hold.
pub(super) struct OwnerSearch {
    /// By inode of a connection's socket: each process that holds it.
    holders: HashMap<u64, Vec<Holder>>,
    listeners: Listeners,
}

impl OwnerSearch {
    /// A search for the owners of these connections. It has found nothing yet.
    pub(super) fn new(connections: &[DiagSocket], listeners: Listeners) -> Self {
        let held = connections.iter().filter(|socket| socket.inode != 0);
        Self { holders: held.map(|socket| (socket.inode, Vec::new())).collect(), listeners }
    }

    /// Searches through /proc. Returns the number of processes whose descriptors it could not read; 0 if it found every
    /// owner without them.
    pub(super) fn scan(&mut self, connections: &[DiagSocket]) -> usize {
        let Self { holders, listeners } = self;
        let unaccepted: Vec<_> = connections.iter().filter(|socket| socket.is_unaccepted()).collect();
        if holders.is_empty() && unaccepted.is_empty() {
            return 0;
        }
        let mut found = Vec::new();
        let forbidden = Scanner::default().scan(
            |inode| holders.contains_key(&inode) || listeners.wants(inode),
            |inode, holder| found.push((inode, holder)),
        );
        for (inode, holder) in found {
            match holders.get_mut(&inode) {
                // The scan gives all descriptors of a process one after the other. The first of them is enough.
                Some(holders) if holders.last().is_none_or(|last| last.task.pid != holder.task.pid) => {
                    holders.push(holder);
                }
                Some(_) => {}
                None => listeners.add(inode, holder),
            }
        }
        let listens =
            |socket: &&DiagSocket| !listeners.find(socket.endpoints.netns, socket.endpoints.local).is_empty();
        let all_found = holders.values().all(|holders| !holders.is_empty()) && unaccepted.iter().all(listens);
        if all_found { 0 } else { forbidden }
    }

    /// The owner of a connection. `fin` is the FIN that the daemon saw on it, if any.
    pub(super) fn take(&mut self, socket: &DiagSocket, fin: Option<Fin>) -> Owner {
        let some = |holders: Vec<Holder>| (!holders.is_empty()).then_some(holders);
        if socket.is_unaccepted() {
            let Endpoints { netns, local, .. } = socket.endpoints;
            return some(self.listeners.find(netns, local)).map_or(Owner::Unknown, Owner::Listeners);
        }
        if let Some(holders) = self.holders.remove(&socket.inode).and_then(some) {
            return Owner::Holders(holders);
        }
        // During a lingering close() the socket still has its inode, but no process has a descriptor of it.
        let closed = fin.filter(|fin| socket.inode == 0 || fin.closed);
        closed.and_then(|fin| fin.process).map_or(Owner::Unknown, Owner::Closer)
    }

    /// Adds a holder, as [`Self::scan`] does.
    #[cfg(test)]
    pub(super) fn add(&mut self, inode: u64, holder: Holder) {
        self.holders.entry(inode).or_default().push(holder);
    }
}
