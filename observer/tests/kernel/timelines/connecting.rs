//! Connections that are being made: what answers a SYN, and who gives up on it.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use serde_json::json;

use super::{aborted, graceful, reset_by_peer};
use crate::actor::{Act, How};
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
    syn_ack_after_close,
    exit_in_syn_sent,
    shutdown_read_in_syn_sent,
    shutdown_write_in_syn_sent,
    shutdown_both_in_syn_sent,
    disconnect_in_syn_sent,
    destroyed_in_syn_sent,
    connect_without_port,
    fast_open_write_while_connecting,
    fin_in_handshake_ack,
    rst_in_syn_recv,
    rst_in_accept_queue,
    syn_to_closed_port,
];

/// A RST answers the SYN.
fn syn_refused(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.say(peer.segment(RST | ACK));
    assert_eq!(us.actor.answer(), Err(Errno::ECONNREFUSED), "connecting");
    lab.close_of(&us).shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// A RST that does not acknowledge the SYN says nothing about it (RFC 9293, 3.10.7.3): the handshake goes on.
fn rst_without_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.say(peer.segment(RST));
    peer.syn_ack();
    us.actor.answer().expect("connecting");
    peer.expect_ack();
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// The peer has an old connection in mind and answers the SYN with an ACK of something else. We reset that, which ends
/// nothing; our next SYN is answered as it should be.
fn bad_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.say(peer.segment(ACK).acking(500_000));
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

/// Both sides connect to each other, and the peer changes its mind. Our SYN takes a place in the sequence, but it is no
/// byte that was lost.
fn simultaneous_open_then_rst(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    peer.syn();
    peer.expect_syn_ack();
    lab.await_state(&us, State::SynRecv);
    peer.say(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "SYN_RECV", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE, "write_errors": {}}));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// The peer closes, then we do.
fn closes_in_order(lab: &Lab, peer: &mut Peer<'_>, us: &End<'_>) {
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(us).shows(&graceful("orderly", "remote", "close"));
}

/// shutdown() ends an attempt to connect whichever side it names; a write afterwards gets our own error, of which the
/// peer knows nothing.
fn shutdown_read_in_syn_sent(lab: &Lab) -> Counters {
    shutdown_in_syn_sent(lab, How::Read, "shutdown_read")
}

fn shutdown_write_in_syn_sent(lab: &Lab) -> Counters {
    shutdown_in_syn_sent(lab, How::Write, "shutdown_write")
}

fn shutdown_both_in_syn_sent(lab: &Lab) -> Counters {
    shutdown_in_syn_sent(lab, How::Both, "shutdown_both")
}

fn shutdown_in_syn_sent(lab: &Lab, how: How, local_action: &str) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.shutdown(how);
    let verdict = lab.close_of(&us);
    verdict.shows(&aborted("connect_abandoned", "none", local_action));
    us.send_fails(Errno::ECONNRESET);
    let error = lab.write_error_of(&us);
    error.shows(&json!({"close_id": verdict.value("/id"), "errno": "ECONNRESET", "sigpipe": false}));
    assert_ne!(error.value("/cause"), "peer_reset", "no packet of the peer's has come");
    us.close();
    Counters::NONE
}

/// connect(AF_UNSPEC) ends an attempt to connect, in silence.
fn disconnect_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.call(Act::Disconnect).expect("disconnecting");
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "disconnect"));
    us.close();
    Counters::NONE
}

/// `ss -K` ends an attempt to connect, in silence.
fn destroyed_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    assert_eq!(us.actor.answer(), Err(Errno::ECONNABORTED), "connecting");
    lab.close_of(&us).shows(&aborted("socket_destroyed", "none", "none"));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// No local port is free: no SYN is sent, so there was no connection, and no verdict.
fn connect_without_port(lab: &Lab) -> Counters {
    // Two ports, of which one is taken out: of a range of one the kernel says on the console that it should be longer.
    lab.netns.set("ipv4/ip_local_port_range", "40000 40001");
    lab.netns.set("ipv4/ip_local_reserved_ports", "40001");
    let (mut peer, us) = Peer::connected(lab);
    let second = End { name: "second".to_owned(), ..peer.client() };
    for _ in 0..3 {
        assert_eq!(second.call(Act::Connect(peer.address())), Err(Errno::EADDRNOTAVAIL), "connecting");
        second.close();
    }
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// A write that would connect, while the socket connects already: EALREADY, whose name the observer knows.
fn fast_open_write_while_connecting(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    let write = Act::Send { bytes: 10, flags: libc::MSG_FASTOPEN };
    assert_eq!(us.call(write), Err(Errno::EALREADY), "writing while connecting");
    lab.write_error_of(&us).shows(&json!({"errno": "EALREADY", "sigpipe": false}));
    us.close();
    let mut expected = aborted("connect_abandoned", "none", "close");
    expected["write_errors"] = json!({"EALREADY": 1});
    lab.close_of(&us).shows(&expected);
    Counters::NONE
}

/// The ACK that ends the handshake has a FIN.
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

/// The peer gives up in the middle of the handshake: there is no socket yet, and so no verdict.
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

/// The peer resets before anybody has accepted. The process learns of it when it accepts and reads.
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

/// Nobody listens.
fn syn_to_closed_port(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.nobody(CLOSED_PORT);
    peer.syn();
    peer.expect_rst();
    peer.expect_nothing_for(Duration::from_millis(50));
    lab.reset_of(&us).shows(&json!({"cause": "closed_port"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// A RST that acknowledges something else than the SYN is of no connection of ours (RFC 9293, 3.10.7.3).
fn rst_with_wrong_ack_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.say(peer.segment(RST | ACK).acking(500_000));
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

/// We close while connecting, and the peer's answer comes too late: nobody has the port any more.
fn syn_ack_after_close(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.close();
    peer.syn_ack();
    peer.expect_rst();
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "close"));
    lab.reset_of(&us).shows(&json!({"cause": "closed_port"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// The process exits while it connects.
fn exit_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    assert!(us.actor.exit().success(), "exit status");
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "process_exit"));
    Counters::NONE
}
