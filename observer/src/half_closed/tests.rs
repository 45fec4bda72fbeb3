use std::net::SocketAddr;

use netlink_packet_core::Emitable as _;
use netlink_packet_sock_diag::inet::{InetResponse, InetResponseHeader, SocketId, nlas::Nla};

use super::{
    Age, HalfClosed, Queued, Unseen,
    diag::{self, Info, Listed},
    filter::Filter,
    gauges::{SideGauges, gauges},
    json, summary, table,
};
use crate::{
    event::{Comm, Endpoints, Side, State, Task},
    filter::AddressFilter,
    owner::{Cgroups, Holder},
};

const TICK_NS: u64 = 4_000_000;

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn holder(pid: u32, comm: &str, fd: u32) -> Holder {
    let comm = Comm::from(comm);
    let task = Task { pid, tid: pid, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 };
    Holder { task, fd }
}

/// In CLOSE_WAIT with seven bytes unread, held by one process.
fn leaked() -> HalfClosed {
    HalfClosed {
        endpoints: Endpoints { local: end("10.0.0.1:443"), remote: end("10.0.0.2:50000"), netns: 7 },
        side: Side::Remote,
        state: State::CloseWait,
        inode: 42,
        holders: vec![holder(12, "nginx", 9)],
        age: Age::AtLeast(90_000_000_000),
        queued: Queued { unread: 7, unacked: 0, unsent: 0 },
        end_read: Some(false),
    }
}

/// In FIN_WAIT2, without a process.
fn orphan() -> HalfClosed {
    HalfClosed {
        side: Side::Local,
        state: State::FinWait2,
        inode: 0,
        holders: Vec::new(),
        age: Age::Unknown,
        queued: Queued::default(),
        end_read: None,
        ..leaked()
    }
}

fn listed(state: State, receive_queue: u32, send_queue: u32, not_sent: u32) -> Listed {
    let info = Some(Info { last_ack_ms: 5000, not_sent });
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
    assert!(!diag::read(&bytes, 7, &mut listed).unwrap());
    let [first, mapped, minisocket, short] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((first.endpoints, first.state), (leaked().endpoints, State::CloseWait));
    assert_eq!((first.inode, first.receive_queue, first.send_queue), (99, 8, 3));
    assert_eq!(first.info, Some(Info { last_ack_ms: 1234, not_sent: 2 }));
    assert_eq!((mapped.endpoints.local, mapped.state), (end("10.0.0.1:80"), State::FinWait1));
    assert_eq!((minisocket.endpoints.remote, minisocket.info), (end("[::1]:81"), None));
    assert_eq!(short.info, None);
}

#[test]
fn an_answer_may_be_an_end_or_an_error() {
    let plain = |kind: u16, code: i32| {
        let mut bytes = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes
    };
    let answer = |kind, code| diag::read(&plain(kind, code), 7, &mut Vec::new());
    assert!(answer(3, 0).unwrap());
    assert_eq!(answer(3, -libc::ENOENT).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert_eq!(answer(2, -libc::EPERM).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(diag::read(&[1, 2, 3], 7, &mut Vec::new()).is_err());
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
        assert_eq!(socket.queued(), Queued { unread, unacked, unsent }, "{socket:?}");
        assert_eq!(socket.end_read(), end_read, "{socket:?}");
    }
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
    let with = |age, unread| HalfClosed { age, queued: Queued { unread, ..Queued::default() }, ..leaked() };
    let mut sockets =
        [with(Age::Unknown, 9), with(Age::Exact(5), 1), with(Age::AtLeast(7), 0), with(Age::Exact(5), 2)];
    super::sort(&mut sockets);
    let order = sockets.map(|socket| (socket.age.ns(), socket.queued.unread));
    assert_eq!(order, [(Some(7), 0), (Some(5), 2), (Some(5), 1), (None, 9)]);
}

#[test]
fn addresses_to_filter_by_have_three_forms() {
    let fits = |filter: &str, ends: &str| {
        let filter = Filter { local: Some(filter.parse().unwrap()), ..Filter::default() };
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
    let shared = HalfClosed { holders: vec![holder(1, "parent", 5), holder(2, "child", 6)], ..leaked() };
    let keep = |pid, comm: Option<&str>| {
        let mut socket = shared.clone();
        let filter = Filter { pid, comm: comm.map(Comm::from), ..Filter::default() };
        let keep = filter.keep(&mut socket, &mut Cgroups::none());
        keep.then(|| socket.holders.first().map(|holder| holder.fd)).flatten()
    };
    assert_eq!(keep(None, None), Some(5));
    assert_eq!(keep(Some(2), None), Some(6));
    assert_eq!(keep(None, Some("child")), Some(6));
    assert_eq!(keep(Some(1), Some("child")), None);
    assert_eq!(keep(Some(3), None), None);
    let keeps = |filter: Filter| filter.keep(&mut leaked(), &mut Cgroups::none());
    let by_side = |side| keeps(Filter { side: Some(side), ..Filter::default() });
    assert_eq!((by_side(Side::Remote), by_side(Side::Local)), (true, false));
    let Endpoints { local, remote, .. } = leaked().endpoints;
    let by_port = |port| keeps(Filter { port: Some(port), ..Filter::default() });
    assert_eq!([local.port(), remote.port(), 1].map(by_port), [true, true, false]);
    // Of a cgroup that nobody can look at.
    assert!(!keeps(Filter { unit: Some("nginx.service".to_owned()), ..Filter::default() }));
}

#[test]
fn gauges_count_by_side_and_process() {
    let older = HalfClosed { age: Age::Exact(100_000_000_000), ..leaked() };
    let other = HalfClosed { holders: vec![holder(13, "redis", 4), holder(12, "nginx", 4)], ..leaked() };
    let found = gauges(&[leaked(), older, other, orphan()]);
    let held = |side: &SideGauges| -> Vec<_> {
        let held = side.held.values();
        held.map(|held| (held.task.map(|task| task.comm.to_string()), held.connections)).collect()
    };
    assert_eq!(held(&found.remote), [(Some("nginx".to_owned()), 2), (Some("redis".to_owned()), 1)]);
    assert_eq!(found.remote.oldest_ns, Some(100_000_000_000));
    assert_eq!(held(&found.local), [(None, 1)]);
    assert_eq!(found.local.oldest_ns, None);
}

#[test]
fn sentences_say_who_has_to_act() {
    let ended = HalfClosed { end_read: Some(true), queued: Queued::default(), ..leaked() };
    let unheard = Queued { unacked: 1, ..Queued::default() };
    let shared = vec![holder(1, "a", 3), holder(2, "b", 3)];
    let cases = [
        (leaked(), "the peer closed at least 1 min 30 s ago; nginx[12] has not, and left 7 bytes unread"),
        (
            ended.clone(),
            "the peer closed at least 1 min 30 s ago; nginx[12] has read to the end and not closed",
        ),
        (
            HalfClosed { end_read: Some(false), age: Age::Exact(2_000_000), holders: shared, ..ended },
            "the peer closed 2 ms ago; a[1] (and 1 more) has neither read the end nor closed",
        ),
        (
            HalfClosed { holders: Vec::new(), inode: 0, age: Age::Unknown, ..leaked() },
            "the peer closed; nobody has accepted the connection",
        ),
        (
            orphan(),
            "this host closed, and no process has the socket any more; the peer acknowledged that and has not closed",
        ),
        (
            HalfClosed {
                state: State::FinWait1,
                side: Side::Local,
                queued: unheard,
                age: Age::Unknown,
                ..leaked()
            },
            "nginx[12] shut down its writing side; the peer has not acknowledged that; 1 byte of ours not acknowledged",
        ),
    ];
    for (socket, sentence) in cases {
        assert_eq!(summary::of(&socket), sentence);
    }
}

#[test]
fn json_has_the_words_of_the_schema() {
    let line = json::line(&leaked(), "2026-01-01T00:00:00Z", &mut Cgroups::none());
    let expected = concat!(
        r#"{"schema":1,"kind":"half_closed","time":"2026-01-01T00:00:00Z","side":"remote","state":"CLOSE_WAIT","#,
        r#""connection":{"family":"ipv4","local":{"addr":"10.0.0.1","port":443},"#,
        r#""remote":{"addr":"10.0.0.2","port":50000},"netns":7,"opened_by":"unknown"},"#,
        r#""process":{"pid":12,"comm":"nginx","uid":0,"cgroup":null,"unit":null,"container":null},"#,
        r#""fd":9,"holders":1,"age_ms":90000.0,"age":"at_least","#,
        r#""queued":{"unread":7,"unacked":0,"unsent":0},"end_read":false,"#,
        r#""summary":"the peer closed at least 1 min 30 s ago; nginx[12] has not, and left 7 bytes unread"}"#,
    );
    assert_eq!(line, expected);
    let line = json::line(&orphan(), "2026-01-01T00:00:00Z", &mut Cgroups::none());
    assert!(line.contains(r#""process":null,"fd":null,"holders":0,"age_ms":null,"age":"unknown""#), "{line}");
}

#[test]
fn tables_fit_the_terminal() {
    let sockets = [leaked(), orphan()];
    let lines = table::lines(&sockets, None);
    assert_eq!(
        lines,
        [
            "         AGE  SIDE    STATE       PROCESS    FD  RECV-Q  SEND-Q  LOCAL         REMOTE",
            "> 1 min 30 s  remote  CLOSE_WAIT  nginx[12]   9       7       0  10.0.0.1:443  10.0.0.2:50000",
            "           ?  local   FIN_WAIT2   -           -       0       0  10.0.0.1:443  10.0.0.2:50000",
        ]
    );
    let narrower = table::lines(&sockets, Some(86));
    assert!(
        narrower[1].starts_with("> 1 min 30 s  CLOSE_WAIT") && narrower[1].ends_with(":50000"),
        "{narrower:?}"
    );
    let narrow = table::lines(&sockets, Some(40));
    assert!(narrow[1..].iter().all(|line| line.chars().count() == 40 && line.ends_with('…')), "{narrow:?}");
    assert_eq!(
        table::totals(&sockets, 1),
        "2 half-closed: 1 remote (oldest at least 1 min 30 s), 1 local; 7 bytes unread, 0 not acknowledged; \
         1 of them not shown"
    );
}

#[test]
fn what_is_unseen_is_told_if_there_is_anything() {
    assert_eq!(Unseen::default().told(), None);
    let unseen = Unseen { namespaces: 2, elsewhere: 0, processes: 1 };
    let expected =
        "may not be looked at, for what is half-closed: 2 network namespaces, the descriptors of 1 process";
    assert_eq!(unseen.told().as_deref(), Some(expected));
}
