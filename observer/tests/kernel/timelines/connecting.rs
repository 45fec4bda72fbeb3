//! Handshakes: answers to a SYN, and attempts that end before they are established.

use std::time::Duration;

use nix::errno::Errno;
use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::end::End;
use crate::lab::{CLOSED_PORT, Lab};
use crate::netns::State;
use crate::peer::{ACK, Peer, RST};
use crate::report::{Bytes, reset_received_in, reset_sent_in};

rows![
    syn_refused,
    rst_without_ack_in_syn_sent,
    bad_ack_in_syn_sent,
    simultaneous_open,
    simultaneous_open_then_rst,
    rst_with_wrong_ack_in_syn_sent,
    simultaneous_open_closed_in_syn_recv,
    simultaneous_open_destroyed_in_syn_recv,
    fin_in_handshake_ack,
    rst_in_syn_recv,
    rst_in_accept_queue,
    syn_to_closed_port,
    opened_by_cookie,
    rst_in_accept_queue_then_write,
];

/// RST answers the SYN.
fn syn_refused(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.send(peer.segment(RST | ACK));
    assert_eq!(us.actor.answer(), Err(Errno::ECONNREFUSED), "connecting");
    lab.close_of(&us).shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// An RST that does not acknowledge the SYN is ignored (RFC 9293, 3.10.7.3): the handshake goes on.
fn rst_without_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.send(peer.segment(RST));
    peer.syn_ack();
    us.actor.answer().expect("connecting");
    peer.expect_ack();
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// The peer answers the SYN with an ACK of an old connection. Our kernel answers with RST and keeps connecting. Our
/// next SYN gets the right answer.
fn bad_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.send(peer.segment(ACK).acking(500_000));
    peer.expect_rst();
    lab.reset_of_unconnected(&us).shows(&json!({"cause": "invalid_segment"}));
    peer.expect_syn_again();
    peer.syn_ack();
    us.actor.answer().expect("connecting");
    peer.expect_ack();
    closes_in_order(lab, &mut peer, &us);
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// Both sides connect to each other at the same time.
fn simultaneous_open(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    us.actor.answer().expect("connecting");
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// Both sides connect to each other, then the peer sends RST. Our SYN has a sequence number, but it is not a lost byte.
fn simultaneous_open_then_rst(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    peer.syn();
    peer.expect_syn_ack();
    lab.await_state(&us, State::SynRecv);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "SYN_RECV", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE, "write_errors": {}}));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// The peer closes, then we do.
pub(super) fn closes_in_order(lab: &Lab, peer: &mut Peer<'_>, us: &End<'_>) {
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(us).shows(&graceful("orderly", "remote", "close"));
}

/// The ACK that ends the handshake carries a FIN.
fn fin_in_handshake_ack(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.fin();
    peer.expect_ack();
    Peer::accept(&us);
    us.receive_to_end(0);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The peer sends RST in the middle of the handshake. It has no socket yet, so it gets no verdict.
fn rst_in_syn_recv(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    lab.await_state(&us, State::SynRecv);
    peer.rst();
    lab.await_out_of_state(&us, State::SynRecv);
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// The peer sends RST before accept(). The process sees the error after accept(), when it reads.
fn rst_in_accept_queue(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    lab.await_state(&us, State::Established);
    peer.rst();
    lab.await_out_of_state(&us, State::Established);
    lab.close_unaccepted(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE, "write_errors": {}}));
    Counters { established_reset: 1, ..Counters::NONE }
}

/// The port has no listener.
fn syn_to_closed_port(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.kernel_end(CLOSED_PORT);
    peer.syn();
    peer.expect_rst();
    peer.expect_nothing_for(Duration::from_millis(50));
    lab.reset_of(&us).shows(&json!({"cause": "closed_port"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// An RST that acknowledges anything but the SYN is ignored (RFC 9293, 3.10.7.3).
fn rst_with_wrong_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.send(peer.segment(RST | ACK).acking(500_000));
    peer.syn_ack();
    us.actor.answer().expect("connecting");
    peer.expect_ack();
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// Both sides connect to each other, and we close before the peer has acknowledged our SYN.
fn simultaneous_open_closed_in_syn_recv(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    peer.syn();
    peer.expect_syn_ack();
    lab.await_state(&us, State::SynRecv);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// Both sides connect to each other, and `ss -K` ends it before the peer has acknowledged our SYN.
fn simultaneous_open_destroyed_in_syn_recv(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    peer.syn();
    peer.expect_syn_ack();
    lab.await_state(&us, State::SynRecv);
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_sent_in("SYN_RECV"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}

/// The listener stores nothing for the SYN. The ACK brings back a SYN cookie, which makes the connection.
fn opened_by_cookie(lab: &Lab) -> Counters {
    // 2: always use cookies, not only if the queue is full.
    lab.netns.set("ipv4/tcp_syncookies", "2");
    let (mut peer, us) = Peer::accepted(lab);
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// As [`rst_in_accept_queue`], but the process writes after accept().
fn rst_in_accept_queue_then_write(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    lab.await_state(&us, State::Established);
    peer.rst();
    lab.await_out_of_state(&us, State::Established);
    Peer::accept(&us);
    us.send_fails(Errno::ECONNRESET);
    let verdict = lab.close_unaccepted(&us);
    verdict.shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"));
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNRESET", "sigpipe": false, "cause": "peer_reset",
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}
