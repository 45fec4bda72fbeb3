//! Connections that are half-closed now: one side has sent its FIN, and the other has not.
//!
//! Comes in: the kernel's own table of TCP sockets (sock_diag), in every network namespace that has a process, and
//! /proc for who holds which. Goes out: a [`Snapshot`], for [`table`], [`json`] and the daemon's [`gauges`].
//!
//! Needs neither BPF nor a daemon, and finds sockets that are older than both. But the kernel keeps no time of a
//! FIN: unless the caller knows better, an age is a lower bound. Nothing is ever written to the kernel.

mod age;
mod diag;
pub mod filter;
pub mod gauges;
pub mod json;
pub mod lookout;
mod namespace;
mod summary;
pub mod table;

use std::{cmp::Reverse, collections::HashMap, io};

use procfs::ProcError;
use thiserror::Error;

pub use self::age::Age;
use self::diag::Listed;
use crate::{
    event::{Endpoints, Side, State},
    owner::{Holder, Scanner},
    source::clock::{monotonic_ns, tick_ns},
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
    /// One descriptor of each process that holds the socket, by process id; empty when none was found.
    pub holders: Vec<Holder>,
    /// For how long.
    pub age: Age,
    /// What waits, either way.
    pub queued: Queued,
    /// The application has read up to the peer's FIN; None while there is no FIN to be read.
    pub end_read: Option<bool>,
}

/// Bytes in the queues of a socket. Neither SYN nor FIN counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// Received and not read by the application.
    pub unread: u32,
    /// Sent and not acknowledged.
    pub unacked: u32,
    /// Written and never sent.
    pub unsent: u32,
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
    pub fn told(self) -> Option<String> {
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
pub enum Error {
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

/// FINs that somebody saw: which side of a connection sent it, and when (`CLOCK_MONOTONIC`, ns).
pub type Fins = HashMap<Endpoints, (Side, u64)>;

/// Looks at the host once. The age of a connection whose FIN was seen is exact.
///
/// Costs a walk through the kernel's hash table of connections for each network namespace and address family, and
/// a pass through /proc: not something to do many times a second.
pub fn snapshot(seen: &Fins) -> Result<Snapshot, Error> {
    let namespaces = namespace::all().map_err(Error::Proc)?;
    let tables = namespace::visit(&namespaces.visible, diag::dump).map_err(Error::Thread)?;
    let ns = monotonic_ns();

    let mut listed = Vec::new();
    let mut unseen = Unseen { elsewhere: namespaces.hidden, ..Unseen::default() };
    for (at, table) in tables.into_iter().enumerate() {
        match table {
            Ok(mut table) => listed.append(&mut table),
            // The first is our own, to which nobody has to let us in.
            Err(error) if at == 0 && error.raw_os_error() == Some(libc::ENOENT) => {
                return Err(Error::Unsupported);
            }
            Err(error) if at == 0 => return Err(Error::Ask(error)),
            Err(error) => {
                log::debug!("a network namespace cannot be looked at: {error}");
                unseen.namespaces += 1;
            }
        }
    }

    let mut holders: HashMap<u64, Vec<Holder>> =
        listed.iter().filter(|socket| socket.inode != 0).map(|socket| (socket.inode, Vec::new())).collect();
    if !holders.is_empty() {
        unseen.processes = find_holders(&mut holders);
    }
    let tick = tick_ns();
    let described = listed.into_iter().map(|socket| describe(&socket, &mut holders, seen, ns, tick));
    let mut sockets: Vec<_> = described.collect();
    sort(&mut sockets);
    Ok(Snapshot { ns, sockets, unseen })
}

/// Returns how many processes may have been holders, but are not ours to look at.
fn find_holders(holders: &mut HashMap<u64, Vec<Holder>>) -> usize {
    let mut found = Vec::new();
    let forbidden = Scanner::default()
        .scan(|inode| holders.contains_key(&inode), |inode, holder| found.push((inode, holder)));
    for (inode, holder) in found {
        let holders = holders.entry(inode).or_default();
        // A process comes with all its descriptors, one after the other.
        if holders.last().is_none_or(|last| last.task.pid != holder.task.pid) {
            holders.push(holder);
        }
    }
    if holders.values().any(Vec::is_empty) { forbidden } else { 0 }
}

fn describe(
    socket: &Listed,
    holders: &mut HashMap<u64, Vec<Holder>>,
    seen: &Fins,
    now_ns: u64,
    tick_ns: u64,
) -> HalfClosed {
    let side = if socket.state == State::CloseWait { Side::Remote } else { Side::Local };
    let since_ns = seen.get(&socket.endpoints).filter(|(closed, _)| *closed == side).map(|(_, ns)| *ns);
    HalfClosed {
        endpoints: socket.endpoints,
        side,
        state: socket.state,
        inode: socket.inode,
        holders: holders.remove(&socket.inode).unwrap_or_default(),
        age: Age::of(socket, since_ns, now_ns, tick_ns),
        queued: socket.queued(),
        end_read: socket.end_read(),
    }
}

/// Oldest first, then by what is queued; the rest only so that two snapshots look alike.
fn sort(sockets: &mut [HalfClosed]) {
    sockets.sort_by_key(|socket| {
        let ends = &socket.endpoints;
        (Reverse(socket.age.ns()), Reverse(socket.queued.total()), ends.netns, ends.local, ends.remote)
    });
}

impl Queued {
    /// Written and not acknowledged, sent or not.
    #[must_use]
    pub fn outgoing(self) -> u64 {
        u64::from(self.unacked) + u64::from(self.unsent)
    }

    /// All together.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.unread) + self.outgoing()
    }
}

#[cfg(test)]
mod tests;
