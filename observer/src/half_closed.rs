//! Half-closed connections of this moment: one side has sent its FIN, and the other has not.
//!
//! In: the kernel's table of TCP sockets (sock_diag) in every network namespace that has a process, and /proc for the
//! processes that hold them. Out: a [`Snapshot`] for `render::half_closed`, and [`gauges`] for the metrics.
//!
//! A connection that no process has accepted yet belongs to the process that listens.
//!
//! This needs neither BPF nor a daemon, and finds sockets that are older than both. But the kernel records neither the
//! time of a FIN nor the process that closed. Without [`Fins`] from a daemon, an age is therefore a lower bound and an
//! orphan has no process. Nothing is ever written to the kernel.

mod age;
mod diag;
pub mod filter;
mod fin;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gauges;
mod owner;
mod owner_search;
pub mod snapshot_thread;
mod unseen;

use std::{cmp::Reverse, collections::HashSet, io};

use procfs::ProcError;
use thiserror::Error;

pub use self::{
    age::Age,
    fin::{Fin, Fins},
    owner::Owner,
    unseen::Unseen,
};
use self::{diag::DiagSocket, owner_search::OwnerSearch};
use crate::{
    event::{Endpoints, State},
    owner::{Listeners, listener},
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
    /// The side that has sent a FIN: this host (`Local`) or the peer.
    pub side: Side,
    /// CLOSE_WAIT, FIN_WAIT1 or FIN_WAIT2; FIN_WAIT2 also for the minisocket of a closed socket.
    pub state: State,
    /// Inode of the socket's file; 0 if it has none because it was closed, or not accepted yet.
    pub inode: u64,
    /// The process that it belongs to.
    pub owner: Owner,
    /// Time since the first FIN.
    pub age: Age,
    /// Bytes in its queues.
    pub queued: Queues,
    /// The process has read up to the peer's FIN; None without a FIN of the peer.
    pub end_read: Option<bool>,
    /// Our FIN has left this host. False: it waits behind data in the send queue. None: we sent none, or it is not
    /// known.
    pub fin_sent: Option<bool>,
    /// The wait in the accept queue; None for an accepted connection.
    pub accept_queue: Option<AcceptQueue>,
}

/// A wait in an accept queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Time since the handshake, ns; None if the kernel does not report it.
    pub waited_ns: Option<u64>,
}

/// All half-closed connections of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Time of the snapshot; `CLOCK_MONOTONIC`, ns.
    pub ns: u64,
    /// The connections, oldest first.
    pub sockets: Vec<HalfClosed>,
    /// The parts that the snapshot could not read.
    pub unseen: Unseen,
}

/// Why there is no snapshot at all.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// /proc cannot be read.
    #[error("reading the network namespaces from /proc")]
    Proc(#[source] ProcError),
    /// A thread cannot be started, for the snapshot or to enter namespaces.
    #[error("starting a thread for the list of half-closed connections")]
    Thread(#[source] io::Error),
    /// sock_diag for TCP is neither built in nor loadable.
    #[error("this kernel cannot list its TCP sockets: the modules inet_diag and tcp_diag are missing")]
    Unsupported,
    /// The kernel refused, or its answer is malformed.
    #[error("asking the kernel for its TCP sockets")]
    Ask(#[source] io::Error),
}

/// Takes a snapshot of this host. FINs in `seen` give connections an exact age, and orphans a process. `remembered` is
/// called at most once, with all orphans that `seen` lacks.
///
/// The cost is a walk through the kernel's hash table of connections per network namespace and address family, and a
/// pass through /proc. That is too much for many calls per second.
pub fn snapshot(
    seen: &Fins,
    remembered: impl FnOnce(&HashSet<Endpoints>) -> Fins,
) -> Result<Snapshot, SnapshotError> {
    let namespaces = namespace::all().map_err(SnapshotError::Proc)?;
    let tables = namespace::visit(&namespaces.visible, |netns| {
        let connections = diag::dump(netns)?;
        let unaccepted = connections.iter().any(DiagSocket::is_unaccepted);
        // The listeners come second. A connection that was found waiting still has its listener then, or was accepted.
        let listening = if unaccepted { listener::dump(netns)? } else { Vec::new() };
        Ok((connections, listening))
    });
    let tables = tables.map_err(SnapshotError::Thread)?;
    let ns = monotonic_ns();

    let mut connections = Vec::new();
    let mut listening = Vec::new();
    let mut unseen = Unseen { process_namespaces: namespaces.hidden, ..Unseen::default() };
    for (at, table) in tables.into_iter().enumerate() {
        match table {
            Ok((mut of_namespace, mut listeners)) => {
                connections.append(&mut of_namespace);
                listening.append(&mut listeners);
            }
            // The first namespace is our own, which needs no permission.
            Err(error) if at == 0 && error.raw_os_error() == Some(libc::ENOENT) => {
                return Err(SnapshotError::Unsupported);
            }
            Err(error) if at == 0 => return Err(SnapshotError::Ask(error)),
            Err(error) => {
                log::debug!("cannot list the sockets of a network namespace: {error}");
                unseen.namespaces += 1;
            }
        }
    }

    let mut owners = OwnerSearch::new(&connections, Listeners::new(listening));
    unseen.process_descriptors = owners.scan(&connections);
    let remembered = fins_of_orphans(&connections, seen, remembered);
    let inputs = AgeInputs { seen, remembered: &remembered, now_ns: ns, tick_ns: tick_ns() };
    let mut sockets: Vec<_> =
        connections.iter().map(|socket| describe(socket, &mut owners, &inputs)).collect();
    sort(&mut sockets);
    Ok(Snapshot { ns, sockets, unseen })
}

/// The remembered FINs of orphans (closed sockets) whose FIN is not in `seen`.
fn fins_of_orphans(
    connections: &[DiagSocket],
    seen: &Fins,
    remembered: impl FnOnce(&HashSet<Endpoints>) -> Fins,
) -> Fins {
    let orphans = connections.iter().filter(|socket| socket.inode == 0 && !socket.is_unaccepted());
    let unknown = orphans.map(|socket| socket.endpoints).filter(|endpoints| !seen.contains_key(endpoints));
    let unknown: HashSet<_> = unknown.collect();
    if unknown.is_empty() { Fins::new() } else { remembered(&unknown) }
}

/// The inputs of an age.
struct AgeInputs<'a> {
    seen: &'a Fins,
    remembered: &'a Fins,
    now_ns: u64,
    tick_ns: u64,
}

fn describe(socket: &DiagSocket, owners: &mut OwnerSearch, inputs: &AgeInputs<'_>) -> HalfClosed {
    let side = if socket.state == State::CloseWait { Side::Remote } else { Side::Local };
    let fin = Fin::newest(&[inputs.seen, inputs.remembered], &socket.endpoints, side);
    HalfClosed {
        endpoints: socket.endpoints,
        side,
        state: socket.state,
        inode: socket.inode,
        owner: owners.take(socket, fin),
        age: Age::of(socket, fin.map(|fin| fin.ns), inputs.now_ns, inputs.tick_ns),
        queued: socket.queued(),
        end_read: socket.end_read(),
        fin_sent: socket.fin_sent(),
        accept_queue: socket.accept_queue(),
    }
}

/// Oldest first, then by queued bytes. The addresses make the order of equal entries the same in every snapshot.
fn sort(sockets: &mut [HalfClosed]) {
    sockets.sort_by_key(|socket| {
        let ends = &socket.endpoints;
        (Reverse(socket.age.ns()), Reverse(socket.queued.total()), ends.netns, ends.local, ends.remote)
    });
}

#[cfg(test)]
mod tests;
