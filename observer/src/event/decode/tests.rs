//! Every kind of record, and bytes that are no record.

use zerocopy::{Immutable, IntoBytes};

use super::*;
use crate::event::Comm;

/// The bytes of a record.
fn bytes<T: IntoBytes + Immutable>(record: &T) -> Vec<u8> {
    record.as_bytes().to_vec()
}

fn names() -> KernelNames {
    KernelNames {
        reset_reasons: vec![None, Some("NO_SOCKET".into()), Some("TCP_ABORT_ON_CLOSE".into())],
        tick_ns: 4_000_000,
    }
}

fn header(kind: u32, has_task: u32) -> record::Header {
    record::Header { kind, has_task, ns: 77, sock: 0xabc }
}

fn task() -> record::Task {
    let mut comm = [0; 16];
    comm[..5].copy_from_slice(b"nginx");
    record::Task {
        pid: 812,
        tid: 813,
        uid: 33,
        flags: record::PF_EXITING,
        exit_code: 0x80 | 9,
        pad: 0,
        cgroup: 5,
        comm,
    }
}

fn endpoints_v4() -> record::Endpoints {
    let mut local = [0; 16];
    local[..4].copy_from_slice(&[10, 0, 0, 1]);
    let mut remote = [0; 16];
    remote[..4].copy_from_slice(&[10, 0, 0, 2]);
    record::Endpoints { local, remote, local_port: 80, remote_port: 4000, netns: 9, family: 2, pad: 0 }
}

fn socket() -> record::Socket {
    record::Socket {
        endpoints: endpoints_v4(),
        rcv_nxt: 10,
        copied_seq: 4,
        write_seq: 30,
        snd_nxt: 25,
        snd_una: 20,
        inode: 6,
        lingertime: 250,
        flags: flag::DEAD | flag::LINGER | flag::CLOSING,
        err: 32,
        state: 1,
        shutdown: 3,
        data_segs_in: 2,
    }
}

fn change() -> record::StateChange {
    record::StateChange { header: header(kind::STATE_CHANGE, 0), socket: socket(), old: 1, new: 7 }
}

fn opened() -> record::Opened {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    record::Opened {
        header: header(kind::OPENED, 1),
        endpoints: endpoints_v4(),
        by_us: 1,
        early: 0,
        inode: 6,
        pid: 812,
        uid: 33,
        comm,
    }
}

/// One record of every kind, with its event's name.
fn every_kind() -> Vec<(Vec<u8>, &'static str)> {
    let header_of = header;
    vec![
        (bytes(&opened()), "opened"),
        (
            bytes(&record::Act {
                change: record::StateChange { header: header_of(kind::ACT, 1), ..change() },
                task: task(),
            }),
            "state_change",
        ),
        (bytes(&change()), "state_change"),
        (
            bytes(&record::ResetSent {
                header: header_of(kind::RESET_SENT, 0),
                reason: 2,
                active: 1,
                state: 7,
                flags: flag::OWNED,
            }),
            "reset_sent",
        ),
        (
            bytes(&record::ResetReceived { header: header_of(kind::RESET_RECEIVED, 0), state: 8, pad: 0 }),
            "reset_received",
        ),
        (
            bytes(&record::Destroyed {
                header: header_of(kind::DESTROYED, 1),
                task: task(),
                rcv_nxt: 10,
                copied_seq: 4,
                done: 1,
                pad: 0,
            }),
            "destroyed",
        ),
        (
            bytes(&record::WriteError {
                header: header_of(kind::WRITE_ERROR, 1),
                task: task(),
                socket: socket(),
                errno: 32,
                sigpipe: 1,
            }),
            "write_error",
        ),
        (
            bytes(&record::StrayReset {
                header: header_of(kind::STRAY_RESET, 0),
                endpoints: endpoints_v4(),
                reason: 1,
                state: 0,
                asks: 0,
            }),
            "stray_reset",
        ),
        (
            bytes(&record::LingerInterrupted {
                header: header_of(kind::LINGER_INTERRUPTED, 0),
                signal: 10,
                tid: 1,
            }),
            "linger_interrupted",
        ),
        (
            bytes(&record::FinQueued { header: header_of(kind::FIN_QUEUED, 0), state: 4, pad: 0 }),
            "fin_queued",
        ),
        (
            bytes(&record::LingerOver { header: header_of(kind::LINGER_OVER, 0), state: 5, pad: 0 }),
            "linger_over",
        ),
    ]
}

#[test]
fn every_kind_is_decoded_under_its_name() {
    let mut found: Vec<_> =
        every_kind().iter().map(|(bytes, _)| decode(bytes, &names()).unwrap().body.name()).collect();
    let expected: Vec<_> = every_kind().iter().map(|(_, name)| *name).collect();
    assert_eq!(found, expected);
    found.dedup();
    assert_eq!(found, Body::NAMES);
}

#[test]
fn recordings_have_the_same_names() {
    let decoded = every_kind().into_iter().map(|(bytes, _)| decode(&bytes, &names()).unwrap().body);
    let added = [
        Body::Owner,
        Body::NoOwner { scanned_ns: 1 },
        Body::RecordsLost { since_ns: 1, until_ns: 2, count: 3 },
    ];
    for body in decoded.chain(added) {
        assert_eq!(serde_json::to_value(&body).unwrap()["event"], body.name());
    }
    let no_owner = serde_json::to_value(Body::NoOwner { scanned_ns: 1 }).unwrap();
    assert_eq!(no_owner["looked_ns"], 1, "recordings have the old name of the field");
}

#[test]
fn a_state_change_has_every_field_of_its_socket() {
    let (bytes, _) = &every_kind()[1];
    let event = decode(bytes, &names()).unwrap();
    assert_eq!((event.ns, event.sock), (77, SockId(0xabc)));
    let task = event.task.unwrap();
    assert_eq!((task.pid, task.tid, task.uid, task.comm), (812, 813, 33, Comm::from("nginx")));
    assert_eq!((task.exiting, task.kthread, task.signal), (true, false, 9));
    let Body::StateChange { old, new, socket } = event.body else { panic!("{event:?}") };
    assert_eq!((old, new, socket.state), (State::Established, State::Close, State::Established));
    assert_eq!(socket.endpoints.local, "10.0.0.1:80".parse().unwrap());
    assert_eq!(socket.endpoints.remote, "10.0.0.2:4000".parse().unwrap());
    assert_eq!((socket.rcv_shutdown, socket.send_shutdown), (true, true));
    assert_eq!((socket.flags.dead, socket.flags.closing, socket.flags.owned), (true, true, false));
    // 250 jiffies of 4 ms.
    assert_eq!(socket.linger_ms, Some(1000));
    assert_eq!((socket.unread(), socket.unacked(), socket.unsent()), (6, 5, 5));
}

#[test]
fn reasons_become_names_and_unknown_ones_none() {
    let reset = |number| record::ResetSent {
        header: header(kind::RESET_SENT, 0),
        reason: number,
        active: 1,
        state: 7,
        flags: 0,
    };
    let name = |number| match decode(&bytes(&reset(number)), &names()).unwrap().body {
        Body::ResetSent { reason, .. } => reason.map(|reason| reason.to_string()),
        body => panic!("{body:?}"),
    };
    assert_eq!(name(2).as_deref(), Some("TCP_ABORT_ON_CLOSE"));
    assert_eq!(name(0), None);
    assert_eq!(name(3), None);
    assert_eq!(name(record::NO_REASON), None);
}

#[test]
fn an_ipv6_socket_that_carries_ipv4_counts_as_ipv4() {
    let mut ends = endpoints_v4();
    ends.family = record::AF_INET6;
    ends.local = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
    ends.remote = std::net::Ipv6Addr::LOCALHOST.octets();
    let ends = endpoints(&ends).unwrap();
    assert_eq!(ends.local, "10.0.0.1:80".parse().unwrap());
    assert_eq!(ends.remote, "[::1]:4000".parse().unwrap());
}

#[test]
fn a_change_by_a_packet_has_no_task() {
    let event = decode(&bytes(&change()), &names()).unwrap();
    assert_eq!(event.task, None);
    let (act, _) = &every_kind()[1];
    assert_eq!(decode(act, &names()).unwrap().body, event.body);
}

#[test]
fn every_truncation_is_an_error() {
    for (bytes, name) in every_kind() {
        for len in 0..bytes.len() {
            let error = decode(&bytes[..len], &names()).expect_err(name);
            let expected = if len < 4 {
                DecodeError::UnknownKind { kind: None, len }
            } else {
                let kind = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
                DecodeError::Length { kind, len, expected: bytes.len() }
            };
            assert_eq!(error, expected, "{name} cut to {len} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(decode(&longer, &names()), Err(DecodeError::Length { .. })), "{name} and one byte");
    }
}

#[test]
fn numbers_out_of_range_are_errors() {
    let no_state = record::StateChange { old: 99, ..change() };
    assert_eq!(decode(&bytes(&no_state), &names()), Err(DecodeError::State(99)));
    let mut no_family = change();
    no_family.socket.endpoints.family = 1;
    assert_eq!(decode(&bytes(&no_family), &names()), Err(DecodeError::Family(1)));
    assert!(matches!(
        decode(&99u32.to_ne_bytes(), &names()),
        Err(DecodeError::UnknownKind { kind: Some(99), len: 4 })
    ));
}

/// Any bytes give an event or an error. The generator is fixed, so a failure can be repeated.
#[test]
fn garbage_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // Marsaglia, Xorshift RNGs (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut decoded = 0;
    let kinds = every_kind();
    for round in 0..20_000 {
        let (mut bytes, _) = kinds[usize::try_from(random()).unwrap() % kinds.len()].clone();
        // Most rounds keep the kind, so that the code behind it is reached.
        let from = if round % 10 == 0 { 0 } else { 4 };
        for _ in 0..random() % 16 {
            let at = from + usize::try_from(random()).unwrap_or(0) % (bytes.len() - from);
            bytes[at] = random().to_ne_bytes()[0];
        }
        decoded += u32::from(decode(&bytes, &names()).is_ok());
    }
    assert!(decoded > 1000, "only {decoded} rounds gave an event, so the test shows too little");
}
