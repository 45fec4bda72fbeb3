//! Sockets that our side tears down while FINs are in flight or data is unread.
//!
//! In LAST_ACK and CLOSING the kernel sends no RST (`tcp_need_reset`, `tcp_disconnect`), so the peer does not notice.

use serde_json::json;

use super::aborted;
use crate::actor::{Action, How};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, Peer};
use crate::report::{Bytes, reset_sent_in};

rows![
    destroyed_in_closing,
    disconnected_in_closing,
    linger_zero_in_closing,
    destroyed_in_last_ack,
    ack_after_destroyed_in_last_ack,
    disconnected_in_last_ack,
    linger_zero_in_last_ack,
    destroyed_in_fin_wait1,
    destroyed_with_unread_data,
    disconnected_with_unread_data,
    listener_closed_with_unread_data,
    listener_closed_after_peer_fin,
];

/// Both sides have shut down at the same time, and the peer does not acknowledge our FIN.
fn in_closing(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    lab.await_state(&us, State::Closing);
    (peer, us)
}

/// The peer has closed, then we have shut down, and the peer does not acknowledge our FIN.
fn in_last_ack(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.shutdown(How::Write);
    peer.expect_fin();
    lab.await_state(&us, State::LastAck);
    (peer, us)
}

fn is_destroyed(lab: &Lab, us: &End<'_>) {
    let (local, remote) = (us.local, us.remote);
    lab.netns.run(|| destroy(local, remote)).expect("destroying a socket");
}

/// `ss -K` in CLOSING.
fn destroyed_in_closing(lab: &Lab) -> Counters {
    let (_peer, us) = in_closing(lab);
    is_destroyed(lab, &us);
    lab.close_of(&us).shows(&aborted("socket_destroyed", "simultaneous", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// connect(AF_UNSPEC) in CLOSING.
fn disconnected_in_closing(lab: &Lab) -> Counters {
    let (_peer, us) = in_closing(lab);
    us.call(Action::Disconnect).expect("disconnecting");
    lab.close_of(&us).shows(&aborted("disconnect", "simultaneous", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// close() with SO_LINGER zero in CLOSING: the kernel counts an abort but sends nothing.
fn linger_zero_in_closing(lab: &Lab) -> Counters {
    let (_peer, us) = in_closing(lab);
    us.linger(0);
    us.close();
    lab.close_of(&us).shows(&aborted("linger_zero", "simultaneous", "shutdown_write"));
    Counters { abort_on_data: 1, ..Counters::NONE }
}

/// `ss -K` in LAST_ACK.
fn destroyed_in_last_ack(lab: &Lab) -> Counters {
    let (_peer, us) = in_last_ack(lab);
    is_destroyed(lab, &us);
    lab.close_of(&us).shows(&aborted("socket_destroyed", "remote", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// connect(AF_UNSPEC) in LAST_ACK.
fn disconnected_in_last_ack(lab: &Lab) -> Counters {
    let (_peer, us) = in_last_ack(lab);
    us.call(Action::Disconnect).expect("disconnecting");
    lab.close_of(&us).shows(&aborted("disconnect", "remote", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// close() with SO_LINGER zero in LAST_ACK.
fn linger_zero_in_last_ack(lab: &Lab) -> Counters {
    let (_peer, us) = in_last_ack(lab);
    us.linger(0);
    us.close();
    lab.close_of(&us).shows(&aborted("linger_zero", "remote", "shutdown_write"));
    Counters { abort_on_data: 1, ..Counters::NONE }
}

/// `ss -K` in FIN_WAIT1: here the kernel sends RST.
fn destroyed_in_fin_wait1(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    is_destroyed(lab, &us);
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local",
        "local_action": "shutdown_write",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// `ss -K` with acknowledged bytes that the process has not read.
fn destroyed_with_unread_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.data(5);
    peer.expect_ack();
    is_destroyed(lab, &us);
    // Until now the process could have read them.
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local", "local_action": "none",
        "bytes": Bytes { unread: 5, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// connect(AF_UNSPEC) with acknowledged bytes that the process has not read.
fn disconnected_with_unread_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.data(5);
    peer.expect_ack();
    us.call(Action::Disconnect).expect("disconnecting");
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "disconnect",
        "bytes": Bytes { unread: 5, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// The listener closes while a connection in its queue has acknowledged bytes.
fn listener_closed_with_unread_data(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    peer.data(5);
    peer.expect_ack();
    peer.close_listener();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "first_close": "local",
        "bytes": Bytes { unread: 5, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// The listener closes while its queue has a connection that the peer has closed.
fn listener_closed_after_peer_fin(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    peer.send(peer.segment(FIN | ACK).carrying(5));
    peer.expect_ack();
    peer.close_listener();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "first_close": "remote",
        "bytes": Bytes { unread: 5, ..Bytes::NONE }, "reset": reset_sent_in("CLOSE_WAIT"), "write_errors": {},
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// The socket is destroyed silently. The peer notices only when it acknowledges our FIN and gets RST.
fn ack_after_destroyed_in_last_ack(lab: &Lab) -> Counters {
    let (mut peer, us) = in_last_ack(lab);
    is_destroyed(lab, &us);
    lab.close_of(&us).shows(&aborted("socket_destroyed", "remote", "shutdown_write"));
    peer.ack();
    peer.expect_rst();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    us.close();
    Counters { resets_sent: 1, ..Counters::NONE }
}
