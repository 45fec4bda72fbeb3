//! FINs of both sides in every order.

use serde_json::json;

use super::graceful;
use crate::actor::{How, SocketOption};
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, PSH, Peer};
use crate::report::{Bytes, reset_sent_in};

rows![
    simultaneous_close,
    simultaneous_close_after_shutdown,
    fin_overtaken_by_its_ack,
    fin_acks_fin,
    fin_with_data,
    fin_before_its_data,
    data_beyond_fin,
    fin_acks_fin_with_negative_linger2,
];

/// Both FINs cross. The peer's FIN does not acknowledge ours; its ACK does so later.
fn simultaneous_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    lab.await_state(&us, State::Closing);
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "simultaneous", "close"));
    Counters::NONE
}

/// As [`simultaneous_close`], by shutdown(): the process still has the socket.
fn simultaneous_close_after_shutdown(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    lab.await_state(&us, State::Closing);
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "simultaneous", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// The peer's FIN and its ACK of our FIN arrive in the wrong order. On our side this looks as if the peer had waited
/// for our FIN. Linux 5.10 ignores a FIN whose own ACK is old, so the peer retransmits it.
fn fin_overtaken_by_its_ack(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    let fin = peer.segment(FIN | ACK);
    peer.send_ignored(peer.segment(ACK).at(fin.end()));
    lab.await_state(&us, State::FinWait2);
    peer.send_ignored(fin.clone().acking(1));
    peer.send(fin);
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// We close. One segment of the peer acknowledges our FIN and has its own FIN.
fn fin_acks_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// The peer's last data and its FIN come in one segment.
fn fin_with_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(FIN | PSH | ACK).carrying(10));
    peer.expect_ack();
    us.receive_to_end(10);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The peer's FIN arrives before its last data. The kernel acts on it when the data has come.
fn fin_before_its_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    let data = peer.segment(PSH | ACK).carrying(10);
    peer.send(peer.segment(FIN | ACK).at(data.end()));
    peer.expect_ack();
    lab.await_state(&us, State::Established);
    peer.send(data.clone());
    // The ACK covers the FIN, too.
    peer.expect_ack_of(data.end() + 1);
    us.receive_to_end(10);
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(ACK).at(data.end() + 1));
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The peer sends data beyond its FIN. The kernel drops it, and nothing else happens.
fn data_beyond_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    peer.send_ignored(peer.segment(PSH | ACK).carrying(10));
    us.receive_to_end(0);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// With a negative TCP_LINGER2 the kernel does not wait for the peer's FIN, even if it comes with the ACK.
fn fin_acks_fin_with_negative_linger2(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.set(SocketOption::Linger2(-1));
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger2_negative", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}
