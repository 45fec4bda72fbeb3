//! Sockets and FINs → half-closed connections with owner and age.

use super::{
    AgeInputs, describe,
    fixtures::{holder, leaked},
    *,
};
use crate::story::step::Queues;

const TICK_NS: u64 = 4_000_000;

/// The connection of this socket, with these FINs of its endpoints. `holds` are the process ids of its holders.
fn described(socket: &DiagSocket, seen: &[Fin], remembered: &[Fin], holds: &[u32]) -> HalfClosed {
    let fins = |fins: &[Fin]| -> Fins { fins.iter().map(|fin| (socket.endpoints, *fin)).collect() };
    let (seen, remembered) = (fins(seen), fins(remembered));
    let mut owners = OwnerSearch::new(&[*socket], Listeners::default());
    for pid in holds {
        owners.add(socket.inode, holder(*pid, "nginx", 9));
    }
    let inputs = AgeInputs { seen: &seen, remembered: &remembered, now_ns: 10_000_000_000, tick_ns: TICK_NS };
    describe(socket, &mut owners, &inputs)
}

#[test]
fn an_orphan_belongs_to_the_process_that_closed_it() {
    let closer = holder(5, "web", 0).task;
    let fin = Fin { side: Side::Local, ns: 4_000_000_000, closed: true, process: Some(closer) };
    let orphan = DiagSocket { inode: 0, info: None, ..DiagSocket::with_queues(State::FinWait2, 0, 0, 0) };
    let known = described(&orphan, &[], &[fin], &[]);
    assert_eq!((known.owner, known.age), (Owner::Closer(closer), Age::Exact(6_000_000_000)));
    // Of two FINs the newer one belongs to the current connection.
    let newer = Fin { ns: 9_000_000_000, process: None, ..fin };
    let known = described(&orphan, &[newer], &[fin], &[]);
    assert_eq!((known.owner, known.age), (Owner::Unknown, Age::Exact(1_000_000_000)));
    let unknown = described(&orphan, &[], &[], &[]);
    assert_eq!((unknown.owner, unknown.age), (Owner::Unknown, Age::Unknown));
    // A FIN of the other side belongs to an earlier connection.
    let theirs = Fin { side: Side::Remote, ..fin };
    assert_eq!(described(&orphan, &[theirs], &[], &[]).age, Age::Unknown);
}

#[test]
fn a_holder_is_the_owner_rather_than_the_closer() {
    let closer = holder(5, "web", 0).task;
    let fin = Fin { side: Side::Local, ns: 4_000_000_000, closed: false, process: Some(closer) };
    let held = DiagSocket::with_queues(State::FinWait1, 0, 1, 0);
    assert_eq!(described(&held, &[fin], &[], &[7]).owner, Owner::Holders(vec![holder(7, "nginx", 9)]));
    // After shutdown() some process still holds the descriptor, so the sender of the FIN is not the owner.
    assert_eq!(described(&held, &[fin], &[], &[]).owner, Owner::Unknown);
    // During a lingering close() no process holds a descriptor.
    let lingering = Fin { closed: true, ..fin };
    assert_eq!(described(&held, &[lingering], &[], &[]).owner, Owner::Closer(closer));
}

#[test]
fn an_age_is_exact_with_a_seen_fin_and_else_a_lower_bound() {
    let age = |socket: &DiagSocket, since| Age::of(socket, since, 10_000_000_000, TICK_NS);
    let close_wait = DiagSocket::with_queues(State::CloseWait, 1, 0, 0);
    assert_eq!(age(&close_wait, Some(4_000_000_000)), Age::Exact(6_000_000_000));
    assert_eq!(age(&close_wait, None), Age::AtLeast(4_996_000_000));
    assert_eq!(age(&DiagSocket::with_queues(State::FinWait2, 0, 0, 0), None), Age::AtLeast(4_996_000_000));
    assert_eq!(age(&DiagSocket::with_queues(State::FinWait1, 0, 1, 0), None), Age::Unknown);
    assert_eq!(
        age(&DiagSocket { info: None, ..DiagSocket::with_queues(State::FinWait2, 0, 0, 0) }, None),
        Age::Unknown
    );
}

#[test]
fn the_oldest_come_first_then_those_with_most_bytes() {
    let with = |age, unread| HalfClosed { age, queued: Queues { unread, ..Queues::default() }, ..leaked() };
    let mut sockets =
        [with(Age::Unknown, 9), with(Age::Exact(5), 1), with(Age::AtLeast(7), 0), with(Age::Exact(5), 2)];
    sort(&mut sockets);
    let order = sockets.map(|socket| (socket.age.ns(), socket.queued.unread));
    assert_eq!(order, [(Some(7), 0), (Some(5), 2), (Some(5), 1), (None, 9)]);
}
