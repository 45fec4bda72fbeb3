//! Messages of sock_diag → sockets, and the meaning of their queues.

use std::net::SocketAddr;

use netlink_packet_core::Emitable as _;
use netlink_packet_sock_diag::inet::{InetResponseHeader, SocketId};

use super::*;
use crate::source::sock_diag;

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The kernel's message for a socket in this state.
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
    // The netlink header is written by hand, because the crate cannot write answers: length, then SOCK_DIAG_BY_FAMILY.
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
    // A minisocket has no struct tcp_info, and one that is too short is ignored.
    bytes.extend(message("[::1]:80", "[::1]:81", 5, None));
    bytes.extend(message("[::1]:80", "[::1]:82", 5, Some(&[0; 100])));
    let mut sockets = Vec::new();
    let mut read = |response: &InetResponse| sockets.extend(DiagSocket::read(response, 7));
    assert!(!sock_diag::read(&bytes, &mut read).unwrap());
    let [first, mapped, minisocket, short] = sockets.as_slice() else { panic!("{sockets:?}") };
    let endpoints = Endpoints { local: end("10.0.0.1:443"), remote: end("10.0.0.2:50000"), netns: 7 };
    assert_eq!((first.endpoints, first.state), (endpoints, State::CloseWait));
    assert_eq!((first.inode, first.receive_queue, first.send_queue), (99, 8, 3));
    assert_eq!(first.info, Some(TcpInfo { last_ack_ms: 1234, last_data_sent_ms: 1235, not_sent: 2 }));
    assert_eq!((mapped.endpoints.local, mapped.state), (end("10.0.0.1:80"), State::FinWait1));
    assert_eq!((minisocket.endpoints.remote, minisocket.info), (end("[::1]:81"), None));
    assert_eq!(short.info, None);
}

#[test]
fn a_fin_in_a_queue_does_not_count_as_data() {
    let cases = [
        // The peer's FIN behind seven bytes, alone, and read. The send queue holds data only.
        (DiagSocket::with_queues(State::CloseWait, 8, 5, 2), (7, 3, 2), Some(false)),
        (DiagSocket::with_queues(State::CloseWait, 1, 0, 0), (0, 0, 0), Some(false)),
        (DiagSocket::with_queues(State::CloseWait, 0, 0, 0), (0, 0, 0), Some(true)),
        // Our FIN, sent but not acknowledged, and then waiting behind a closed window.
        (DiagSocket::with_queues(State::FinWait1, 4, 6, 0), (4, 5, 0), None),
        (DiagSocket::with_queues(State::FinWait1, 0, 6, 3), (0, 3, 2), None),
        (DiagSocket::with_queues(State::FinWait2, 4, 0, 0), (4, 0, 0), None),
    ];
    for (socket, (unread, unacked, unsent), end_read) in cases {
        assert_eq!(socket.queued(), Queues { unread, unacked, unsent }, "{socket:?}");
        assert_eq!(socket.end_read(), end_read, "{socket:?}");
    }
}

#[test]
fn our_fin_is_sent_when_no_byte_waits_before_it() {
    let fin_sent = |state, not_sent| DiagSocket::with_queues(state, 0, 6, not_sent).fin_sent();
    assert_eq!(fin_sent(State::FinWait1, 0), Some(true));
    assert_eq!(fin_sent(State::FinWait1, 1), Some(false));
    assert_eq!(fin_sent(State::FinWait2, 0), Some(true));
    assert_eq!(fin_sent(State::CloseWait, 0), None);
    assert_eq!(
        DiagSocket { info: None, ..DiagSocket::with_queues(State::FinWait1, 0, 1, 0) }.fin_sent(),
        None
    );
}

#[test]
fn only_an_unaccepted_connection_waits_in_an_accept_queue() {
    let close_wait = DiagSocket { inode: 0, ..DiagSocket::with_queues(State::CloseWait, 1, 0, 0) };
    assert_eq!(close_wait.accept_queue(), Some(AcceptQueue { waited_ns: Some(7_000_000_000) }));
    let without_info = DiagSocket { info: None, ..close_wait };
    assert_eq!(without_info.accept_queue(), Some(AcceptQueue { waited_ns: None }));
    assert_eq!(DiagSocket { inode: 42, ..close_wait }.accept_queue(), None);
    assert_eq!(DiagSocket { state: State::FinWait1, ..close_wait }.accept_queue(), None);
}
