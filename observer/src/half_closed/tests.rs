use netlink_packet_core::Emitable as _;
use netlink_packet_sock_diag::inet::{InetResponse, InetResponseHeader, SocketId, nlas::Nla};

use super::{
    AcceptQueue, Age, Fin, Fins, HalfClosed, Known, Owner, OwnerSearch, Unseen, describe,
    diag::{Info, Listed},
    filter::HalfClosedFilter,
    fixtures::{end, holder, leaked, orphan, unaccepted},
    gauges::{SideGauges, gauges},
};
use crate::{
    event::{Comm, Endpoints, State},
    filter::AddressFilter,
    owner::{Cgroups, Listeners},
    source::sock_diag,
    story::step::Queues,
    words::Side,
};

const TICK_NS: u64 = 4_000_000;

fn listed(state: State, receive_queue: u32, send_queue: u32, not_sent: u32) -> Listed {
    let info = Some(Info { last_ack_ms: 5000, last_data_sent_ms: 7000, not_sent });
    Listed { endpoints: leaked().endpoints, state, inode: 42, receive_queue, send_queue, info }
}

/// What the kernel sends, for a socket with this state and these queues.
fn message(source: &str, destination: &str, state: u8, info: Option<&[u8]>) -> Vec<u8> {
    let (source, destination) = (end(source), end(destination));
    let socket_id = SocketId {
        source_port: source.port(),
        destination_port: destination.port(),
        source_address: source.ip(),
        destination_address: destination.ip(),
        ..SocketId::new_v4()
    };
    let family = if source.is_ipv4() { 2 } else { 10 };
    let header = InetResponseHeader {
        family,
        state,
        timer: None,
        socket_id,
        recv_queue: 8,
        send_queue: 3,
        uid: 0,
        inode: 99,
    };
    let nlas = info.map(|bytes| Nla::TcpInfo(bytes.to_vec())).into_iter().collect();
    let response = InetResponse { header, nlas };
    // By hand, since the crate writes no answers: SOCK_DIAG_BY_FAMILY after the length.
    let length = 16 + response.buffer_len();
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
    bytes[4..6].copy_from_slice(&20_u16.to_ne_bytes());
    response.emit(&mut bytes[16..]);
    bytes
}

fn tcp_info(last_ack_ms: u32, not_sent: u32) -> Vec<u8> {
    let mut bytes = vec![0; 232];
    bytes[44..48].copy_from_slice(&(last_ack_ms + 1).to_ne_bytes());
    bytes[56..60].copy_from_slice(&last_ack_ms.to_ne_bytes());
    bytes[144..148].copy_from_slice(&not_sent.to_ne_bytes());
    bytes
}

#[test]
fn an_answer_of_several_messages_is_read_to_its_end() {
    let mut bytes = message("10.0.0.1:443", "10.0.0.2:50000", 8, Some(&tcp_info(1234, 2)));
    bytes.extend(message("[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.2]:81", 4, Some(&tcp_info(5, 0))));
    // A minisocket has no struct tcp_info; neither is one trusted that is too short.
    bytes.extend(message("[::1]:80", "[::1]:81", 5, None));
    bytes.extend(message("[::1]:80", "[::1]:82", 5, Some(&[0; 100])));
    let mut listed = Vec::new();
    let mut read = |response: &InetResponse| listed.extend(Listed::read(response, 7));
    assert!(!sock_diag::read(&bytes, &mut read).unwrap());
    let [first, mapped, minisocket, short] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((first.endpoints, first.state), (leaked().endpoints, State::CloseWait));
    assert_eq!((first.inode, first.receive_queue, first.send_queue), (99, 8, 3));
    assert_eq!(first.info, Some(Info { last_ack_ms: 1234, last_data_sent_ms: 1235, not_sent: 2 }));
    assert_eq!((mapped.endpoints.local, mapped.state), (end("10.0.0.1:80"), State::FinWait1));
    assert_eq!((minisocket.endpoints.remote, minisocket.info), (end("[::1]:81"), None));
    assert_eq!(short.info, None);
}

#[test]
fn a_fin_is_no_data() {
    let cases = [
        // A FIN behind seven bytes; a FIN alone; a FIN that was read. Unacknowledged data is ours to the last byte.
        (listed(State::CloseWait, 8, 5, 2), (7, 3, 2), Some(false)),
        (listed(State::CloseWait, 1, 0, 0), (0, 0, 0), Some(false)),
        (listed(State::CloseWait, 0, 0, 0), (0, 0, 0), Some(true)),
        // Our FIN, sent and not acknowledged; then still waiting behind a closed window.
        (listed(State::FinWait1, 4, 6, 0), (4, 5, 0), None),
        (listed(State::FinWait1, 0, 6, 3), (0, 3, 2), None),
        (listed(State::FinWait2, 4, 0, 0), (4, 0, 0), None),
    ];
    for (socket, (unread, unacked, unsent), end_read) in cases {
        assert_eq!(socket.queued(), Queues { unread, unacked, unsent }, "{socket:?}");
        assert_eq!(socket.end_read(), end_read, "{socket:?}");
    }
}

#[test]
fn a_fin_is_sent_when_nothing_waits_before_it() {
    let fin_sent = |state, not_sent| listed(state, 0, 6, not_sent).fin_sent();
    assert_eq!(fin_sent(State::FinWait1, 0), Some(true));
    assert_eq!(fin_sent(State::FinWait1, 1), Some(false));
    assert_eq!(fin_sent(State::FinWait2, 0), Some(true));
    assert_eq!(fin_sent(State::CloseWait, 0), None);
    assert_eq!(Listed { info: None, ..listed(State::FinWait1, 0, 1, 0) }.fin_sent(), None);
}

#[test]
fn only_what_nobody_has_accepted_waits_in_a_queue() {
    let close_wait = Listed { inode: 0, ..listed(State::CloseWait, 1, 0, 0) };
    assert_eq!(close_wait.accept_queue(), Some(AcceptQueue { waited_ns: Some(7_000_000_000) }));
    let without_info = Listed { info: None, ..close_wait };
    assert_eq!(without_info.accept_queue(), Some(AcceptQueue { waited_ns: None }));
    assert_eq!(Listed { inode: 42, ..close_wait }.accept_queue(), None);
    assert_eq!(Listed { state: State::FinWait1, ..close_wait }.accept_queue(), None);
}

/// Descriptions of one connection, with what somebody knows of its FIN and who listens.
fn described(socket: &Listed, seen: &[Fin], remembered: &[Fin], holds: &[u32]) -> HalfClosed {
    let fins = |fins: &[Fin]| -> Fins { fins.iter().map(|fin| (socket.endpoints, *fin)).collect() };
    let (seen, remembered) = (fins(seen), fins(remembered));
    let mut owners = OwnerSearch::of(&[*socket], Listeners::default());
    for holders in owners.holders.values_mut() {
        holders.extend(holds.iter().map(|pid| holder(*pid, "nginx", 9)));
    }
    let known = Known { seen: &seen, remembered: &remembered, ns: 10_000_000_000, tick: TICK_NS };
    describe(socket, &mut owners, &known)
}

#[test]
fn an_orphan_belongs_to_the_process_that_closed_it() {
    let closer = holder(5, "web", 0).task;
    let fin = Fin { side: Side::Local, ns: 4_000_000_000, closed: true, process: Some(closer) };
    let orphan = Listed { inode: 0, info: None, ..listed(State::FinWait2, 0, 0, 0) };
    let known = described(&orphan, &[], &[fin], &[]);
    assert_eq!((known.owner, known.age), (Owner::Closer(closer), Age::Exact(6_000_000_000)));
    // Of two FINs the newer one is the connection's that is there now.
    let newer = Fin { ns: 9_000_000_000, process: None, ..fin };
    let known = described(&orphan, &[newer], &[fin], &[]);
    assert_eq!((known.owner, known.age), (Owner::Unknown, Age::Exact(1_000_000_000)));
    let unknown = described(&orphan, &[], &[], &[]);
    assert_eq!((unknown.owner, unknown.age), (Owner::Unknown, Age::Unknown));
    // A FIN of the other side is another connection's.
    let theirs = Fin { side: Side::Remote, ..fin };
    assert_eq!(described(&orphan, &[theirs], &[], &[]).age, Age::Unknown);
}

#[test]
fn who_holds_a_socket_comes_before_who_closed_it() {
    let closer = holder(5, "web", 0).task;
    let fin = Fin { side: Side::Local, ns: 4_000_000_000, closed: false, process: Some(closer) };
    let held = listed(State::FinWait1, 0, 1, 0);
    assert_eq!(described(&held, &[fin], &[], &[7]).owner, Owner::Holders(vec![holder(7, "nginx", 9)]));
    // It shut down writing only: somebody must have the descriptor.
    assert_eq!(described(&held, &[fin], &[], &[]).owner, Owner::Unknown);
    // A close() that lingers.
    let lingering = Fin { closed: true, ..fin };
    assert_eq!(described(&held, &[lingering], &[], &[]).owner, Owner::Closer(closer));
}

#[test]
fn an_age_is_what_was_seen_or_what_can_be_proved() {
    let age = |socket: &Listed, since| Age::of(socket, since, 10_000_000_000, TICK_NS);
    let close_wait = listed(State::CloseWait, 1, 0, 0);
    assert_eq!(age(&close_wait, Some(4_000_000_000)), Age::Exact(6_000_000_000));
    assert_eq!(age(&close_wait, None), Age::AtLeast(4_996_000_000));
    assert_eq!(age(&listed(State::FinWait2, 0, 0, 0), None), Age::AtLeast(4_996_000_000));
    assert_eq!(age(&listed(State::FinWait1, 0, 1, 0), None), Age::Unknown);
    assert_eq!(age(&Listed { info: None, ..listed(State::FinWait2, 0, 0, 0) }, None), Age::Unknown);
}

#[test]
fn the_oldest_come_first_then_the_fullest() {
    let with = |age, unread| HalfClosed { age, queued: Queues { unread, ..Queues::default() }, ..leaked() };
    let mut sockets =
        [with(Age::Unknown, 9), with(Age::Exact(5), 1), with(Age::AtLeast(7), 0), with(Age::Exact(5), 2)];
    super::sort(&mut sockets);
    let order = sockets.map(|socket| (socket.age.ns(), socket.queued.unread));
    assert_eq!(order, [(Some(7), 0), (Some(5), 2), (Some(5), 1), (None, 9)]);
}

#[test]
fn addresses_to_filter_by_have_three_forms() {
    let fits = |filter: &str, ends: &str| {
        let filter = HalfClosedFilter { local: Some(filter.parse().unwrap()), ..HalfClosedFilter::default() };
        let endpoints = Endpoints { local: end(ends), ..leaked().endpoints };
        filter.keep(&mut HalfClosed { endpoints, ..leaked() }, &mut Cgroups::none())
    };
    for filter in ["10.0.0.1", "10.0.0.1:443", ":443", "::ffff:10.0.0.1"] {
        assert!(fits(filter, "10.0.0.1:443"), "{filter}");
    }
    for filter in ["10.0.0.2", "10.0.0.1:80", ":80", "::1"] {
        assert!(!fits(filter, "10.0.0.1:443"), "{filter}");
    }
    for filter in ["::1", "[::1]", "[::1]:80", ":80"] {
        assert!(fits(filter, "[::1]:80"), "{filter}");
    }
    for wrong in ["", ":", "80", ":x", ":65536", "host:80", "10.0.0.1:"] {
        assert!(wrong.parse::<AddressFilter>().is_err(), "{wrong}");
    }
}

#[test]
fn the_holder_that_was_asked_for_is_the_one_that_is_shown() {
    let shared = vec![holder(1, "parent", 5), holder(2, "child", 6)];
    let shared = HalfClosed { owner: Owner::Holders(shared), ..leaked() };
    let keep = |pid, comm: Option<&str>| {
        let mut socket = shared.clone();
        let filter = HalfClosedFilter { pid, comm: comm.map(Comm::from), ..HalfClosedFilter::default() };
        let keep = filter.keep(&mut socket, &mut Cgroups::none());
        keep.then(|| socket.owner.holders().first().map(|holder| holder.fd)).flatten()
    };
    assert_eq!(keep(None, None), Some(5));
    assert_eq!(keep(Some(2), None), Some(6));
    assert_eq!(keep(None, Some("child")), Some(6));
    assert_eq!(keep(Some(1), Some("child")), None);
    assert_eq!(keep(Some(3), None), None);
    let keeps = |filter: HalfClosedFilter| filter.keep(&mut leaked(), &mut Cgroups::none());
    let by_side = |side| keeps(HalfClosedFilter { side: Some(side), ..HalfClosedFilter::default() });
    assert_eq!((by_side(Side::Remote), by_side(Side::Local)), (true, false));
    let Endpoints { local, remote, .. } = leaked().endpoints;
    let by_port = |port| keeps(HalfClosedFilter { port: Some(port), ..HalfClosedFilter::default() });
    assert_eq!([local.port(), remote.port(), 1].map(by_port), [true, true, false]);
    // A listener or closer is asked for as a holder is.
    let closer = HalfClosed { owner: Owner::Closer(holder(12, "nginx", 0).task), ..orphan() };
    for mut socket in [unaccepted(), closer] {
        let mut keeps = |pid| {
            let filter = HalfClosedFilter { pid: Some(pid), ..HalfClosedFilter::default() };
            filter.keep(&mut socket, &mut Cgroups::none())
        };
        assert_eq!((keeps(12), keeps(13)), (true, false));
    }
    // Of a cgroup that nobody can look at.
    assert!(!keeps(HalfClosedFilter {
        unit: Some("nginx.service".to_owned()),
        ..HalfClosedFilter::default()
    }));
}

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

#[test]
fn what_is_unseen_is_told_if_there_is_anything() {
    assert_eq!(Unseen::default().summary(), None);
    let unseen = Unseen { namespaces: 2, elsewhere: 0, processes: 1 };
    let expected =
        "may not be looked at, for what is half-closed: 2 network namespaces, the descriptors of 1 process";
    assert_eq!(unseen.summary().as_deref(), Some(expected));
}
