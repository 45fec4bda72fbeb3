//! Connections that are half-closed now: one side has sent its FIN, and the other has not.
//!
//! Comes in: the kernel's own table of TCP sockets (sock_diag), in every network namespace that has a process, and
//! /proc for who holds which. Goes out: a [`Snapshot`], for [`table`], [`json`] and the daemon's [`gauges`].
//!
//! A connection that nobody has accepted yet belongs to the process that listens.
//!
//! Needs neither BPF nor a daemon, and finds sockets that are older than both. But the kernel keeps no time of a
//! FIN, and not who closed: unless the caller knows better ([`Fins`]), an age is a lower bound, and an orphan has no
//! process. Nothing is ever written to the kernel.

mod age;
mod diag;
pub mod filter;
mod fin;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gauges;
pub mod lookout;
mod owner;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    io,
};

use procfs::ProcError;
use thiserror::Error;

use self::diag::Listed;
pub use self::{
    age::Age,
    fin::{Fin, Fins},
    owner::Owner,
};
use crate::{
    event::{Endpoints, State},
    owner::{Holder, Listeners, Scanner, listener},
    source::{
        clock::{monotonic_ns, tick_ns},
        namespace,
    },
    story::step::Queues,
    words::Side,
};

/// A half-closed connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfClosed {
    /// Both ends.
    pub endpoints: Endpoints,
    /// Who has sent a FIN: the peer (`Remote`), or this host.
    pub side: Side,
    /// CLOSE_WAIT, FIN_WAIT1 or FIN_WAIT2; the last also for what the kernel keeps of a closed socket.
    pub state: State,
    /// Inode of the socket's file; 0 when there is none: closed, or never accepted.
    pub inode: u64,
    /// Whose it is.
    pub owner: Owner,
    /// For how long.
    pub age: Age,
    /// What waits, either way.
    pub queued: Queues,
    /// The application has read up to the peer's FIN; None while there is no FIN to be read.
    pub end_read: Option<bool>,
    /// Our FIN has left this host, rather than waiting behind data in the send queue; None where we sent none, or it is
    /// not known.
    pub fin_sent: Option<bool>,
    /// The wait for a process to accept the connection; None once it was accepted.
    pub accept_queue: Option<AcceptQueue>,
}

/// A connection waits in an accept queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Time since its handshake, ns; None where the kernel does not tell.
    pub waited_ns: Option<u64>,
}

/// All half-closed connections of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// When; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// Oldest first.
    pub sockets: Vec<HalfClosed>,
    /// What is missing.
    pub unseen: Unseen,
}

/// What could not be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Other network namespaces that let nobody in.
    pub namespaces: usize,
    /// Processes whose network namespace is not ours to know.
    pub elsewhere: usize,
    /// Processes whose descriptors are not ours to look at; 0 also when every owner was found without them.
    pub processes: usize,
}

impl Unseen {
    /// In words, if there is anything.
    #[must_use]
    pub fn summary(self) -> Option<String> {
        let Self { namespaces, elsewhere, processes } = self;
        let some = |number: usize, of: &str, one: &str, many: &str| {
            (number > 0).then(|| format!("{of}{number} {}", if number == 1 { one } else { many }))
        };
        let parts = [
            some(namespaces, "", "network namespace", "network namespaces"),
            some(elsewhere, "the network namespace of ", "process", "processes"),
            some(processes, "the descriptors of ", "process", "processes"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let told = || format!("may not be looked at, for what is half-closed: {}", parts.join(", "));
        (!parts.is_empty()).then(told)
    }
}

/// Why there is no snapshot at all.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// /proc cannot be read.
    #[error("looking through /proc for network namespaces")]
    Proc(#[source] ProcError),
    /// No thread to look from, or to enter namespaces with.
    #[error("starting a thread to look at sockets")]
    Thread(#[source] io::Error),
    /// Neither built in nor to be loaded.
    #[error("this kernel cannot list its TCP sockets: the modules inet_diag and tcp_diag are missing")]
    Unsupported,
    /// The kernel refused, or answered nonsense.
    #[error("asking the kernel for its TCP sockets")]
    Ask(#[source] io::Error),
}

/// Looks at the host once. `seen` are FINs that somebody saw: their age is exact, and an orphan has a process. What is
/// to be known of other orphans, `remembered` is asked once for all of them.
///
/// Costs a walk through the kernel's hash table of connections for each network namespace and address family, and
/// a pass through /proc: not something to do many times a second.
pub fn snapshot(
    seen: &Fins,
    remembered: impl FnOnce(&HashSet<Endpoints>) -> Fins,
) -> Result<Snapshot, SnapshotError> {
    let namespaces = namespace::all().map_err(SnapshotError::Proc)?;
    let tables = namespace::visit(&namespaces.visible, |netns| {
        let listed = diag::dump(netns)?;
        let unaccepted = listed.iter().any(Listed::is_unaccepted);
        // Afterwards: a connection that was found waiting has its listener still, or was accepted meanwhile.
        let listening = if unaccepted { listener::dump(netns)? } else { Vec::new() };
        Ok((listed, listening))
    });
    let tables = tables.map_err(SnapshotError::Thread)?;
    let ns = monotonic_ns();

    let mut listed = Vec::new();
    let mut listening = Vec::new();
    let mut unseen = Unseen { elsewhere: namespaces.hidden, ..Unseen::default() };
    for (at, table) in tables.into_iter().enumerate() {
        match table {
            Ok((mut connections, mut listeners)) => {
                listed.append(&mut connections);
                listening.append(&mut listeners);
            }
            // The first is our own, to which nobody has to let us in.
            Err(error) if at == 0 && error.raw_os_error() == Some(libc::ENOENT) => {
                return Err(SnapshotError::Unsupported);
            }
            Err(error) if at == 0 => return Err(SnapshotError::Ask(error)),
            Err(error) => {
                log::debug!("a network namespace cannot be looked at: {error}");
                unseen.namespaces += 1;
            }
        }
    }

    let mut owners = OwnerSearch::of(&listed, Listeners::of(listening));
    unseen.processes = owners.find(&listed);
    let known = Known { seen, remembered: &ask_for_orphans(&listed, seen, remembered), ns, tick: tick_ns() };
    let mut sockets: Vec<_> =
        listed.into_iter().map(|socket| describe(&socket, &mut owners, &known)).collect();
    sort(&mut sockets);
    Ok(Snapshot { ns, sockets, unseen })
}

/// What `remembered` has of sockets that no process holds, and whose FIN is not among the `seen` ones.
fn ask_for_orphans(
    listed: &[Listed],
    seen: &Fins,
    remembered: impl FnOnce(&HashSet<Endpoints>) -> Fins,
) -> Fins {
    let orphans = listed.iter().filter(|socket| socket.inode == 0 && !socket.is_unaccepted());
    let unknown = orphans.map(|socket| socket.endpoints).filter(|endpoints| !seen.contains_key(endpoints));
    let unknown: HashSet<_> = unknown.collect();
    if unknown.is_empty() { Fins::new() } else { remembered(&unknown) }
}

/// Processes by what they hold.
struct OwnerSearch {
    /// By inode of a connection's socket; with each process that holds it.
    holders: HashMap<u64, Vec<Holder>>,
    listeners: Listeners,
}

impl OwnerSearch {
    /// Those of these connections, still to be found.
    fn of(listed: &[Listed], listeners: Listeners) -> Self {
        let held = listed.iter().filter(|socket| socket.inode != 0);
        Self { holders: held.map(|socket| (socket.inode, Vec::new())).collect(), listeners }
    }

    /// Returns how many processes may have been owners, but are not ours to look at.
    fn find(&mut self, listed: &[Listed]) -> usize {
        let Self { holders, listeners } = self;
        let unaccepted: Vec<_> = listed.iter().filter(|socket| socket.is_unaccepted()).collect();
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
                // A process comes with all its descriptors, one after the other.
                Some(holders) if holders.last().is_none_or(|last| last.task.pid != holder.task.pid) => {
                    holders.push(holder);
                }
                Some(_) => {}
                None => listeners.add(inode, holder),
            }
        }
        let listens =
            |socket: &&Listed| !listeners.find(socket.endpoints.netns, socket.endpoints.local).is_empty();
        let all_found = holders.values().all(|holders| !holders.is_empty()) && unaccepted.iter().all(listens);
        if all_found { 0 } else { forbidden }
    }

    /// The owner of a connection, whose FIN somebody may have seen.
    fn take(&mut self, socket: &Listed, fin: Option<Fin>) -> Owner {
        let some = |holders: Vec<Holder>| (!holders.is_empty()).then_some(holders);
        if socket.is_unaccepted() {
            let Endpoints { netns, local, .. } = socket.endpoints;
            return some(self.listeners.find(netns, local)).map_or(Owner::Unknown, Owner::Listeners);
        }
        if let Some(holders) = self.holders.remove(&socket.inode).and_then(some) {
            return Owner::Holders(holders);
        }
        // A lingering close() has the socket, and no descriptor any more.
        let closed = fin.filter(|fin| socket.inode == 0 || fin.closed);
        closed.and_then(|fin| fin.process).map_or(Owner::Unknown, Owner::Closer)
    }
}

/// What is needed to tell ages.
struct Known<'a> {
    seen: &'a Fins,
    remembered: &'a Fins,
    ns: u64,
    tick: u64,
}

fn describe(socket: &Listed, owners: &mut OwnerSearch, known: &Known<'_>) -> HalfClosed {
    let side = if socket.state == State::CloseWait { Side::Remote } else { Side::Local };
    let fin = Fin::newest(&[known.seen, known.remembered], &socket.endpoints, side);
    HalfClosed {
        endpoints: socket.endpoints,
        side,
        state: socket.state,
        inode: socket.inode,
        owner: owners.take(socket, fin),
        age: Age::of(socket, fin.map(|fin| fin.ns), known.ns, known.tick),
        queued: socket.queued(),
        end_read: socket.end_read(),
        fin_sent: socket.fin_sent(),
        accept_queue: socket.accept_queue(),
    }
}

/// Oldest first, then by what is queued; the rest only so that two snapshots look alike.
fn sort(sockets: &mut [HalfClosed]) {
    sockets.sort_by_key(|socket| {
        let ends = &socket.endpoints;
        (Reverse(socket.age.ns()), Reverse(socket.queued.total()), ends.netns, ends.local, ends.remote)
    });
}

#[cfg(test)]
mod tests;
