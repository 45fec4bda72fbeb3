//! The peer's RST in every state.

use nix::errno::Errno;
use serde_json::json;

use super::reset_by_peer;
use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, Peer, RST};
use crate::report::Bytes;

rows![
    rst_with_data,
    unacked_then_rst,
    rst_after_fin,
    rst_answers_data_after_fin,
    rst_answers_fin,
    rst_in_fin_wait2,
    rst_in_closing,
    rst_in_last_ack,
    rst_answers_data_in_last_ack,
    rst_with_unread_data,
];

/// An RST may carry data, such as a reason in text. It has the same effect.
fn rst_with_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(RST | ACK).carrying(10));
    us.await_gone();
    lab.close_of(&us).shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none")).shows(&json!({
        "linger": null, "half_closed": {"local_ms": null, "remote_ms": null}, "bytes": Bytes::NONE,
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// The peer acknowledges a part of our data, then sends RST. The report has the exact number of lost bytes.
fn unacked_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.send(100);
    peer.expect_data(100);
    peer.ack_up_to(41);
    peer.rst();
    us.await_gone();
    let verdict = lab.close_of(&us);
    verdict
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes { unacked: 60, ..Bytes::NONE }}));
    us.send_fails(Errno::ECONNRESET);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNRESET", "cause": "peer_reset",
    }));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// The peer closes, then sends RST. We wrote nothing in between.
fn rst_after_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    peer.rst();
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("reset_after_peer_fin", "CLOSE_WAIT", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// The peer closes, we write, and the peer answers with RST, as when its process has ended.
fn rst_answers_data_after_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.send(100);
    peer.expect_data(100);
    // RFC 9293, 3.10.7.1: an RST in answer to an ACK takes that ACK's number as its sequence number, and has no ACK
    // flag.
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("write_after_peer_fin", "CLOSE_WAIT", "remote", "none"))
        .shows(&json!({"bytes": Bytes { unacked: 100, after_peer_fin: 100, ..Bytes::NONE }}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// We close, and the peer answers our FIN with RST.
fn rst_answers_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(RST));
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "FIN_WAIT1", "local", "close"))
        .shows(&json!({"bytes": Bytes::NONE}));
    Counters::NONE
}

/// We shut down our side. The peer acknowledges our FIN, then sends RST.
fn rst_in_fin_wait2(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    peer.rst();
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "FIN_WAIT2", "local", "shutdown_write"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters::NONE
}

/// Both close at the same time, and the peer sends RST instead of the ACK of our FIN.
fn rst_in_closing(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("reset_after_peer_fin", "CLOSING", "simultaneous", "shutdown_write"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters::NONE
}

/// The peer closes, then we do, and the peer sends RST instead of the ACK of our FIN.
fn rst_in_last_ack(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(RST));
    lab.close_of(&us)
        .shows(&reset_by_peer("reset_after_peer_fin", "LAST_ACK", "remote", "close"))
        .shows(&json!({"bytes": Bytes::NONE}));
    Counters::NONE
}

/// The peer closes, we write and close, and the peer answers with RST.
fn rst_answers_data_in_last_ack(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.send(100);
    us.close();
    peer.expect_data_and_fin(100);
    peer.send(peer.segment(RST));
    lab.close_of(&us)
        .shows(&reset_by_peer("write_after_peer_fin", "LAST_ACK", "remote", "close"))
        .shows(&json!({"bytes": Bytes { unacked: 100, after_peer_fin: 100, ..Bytes::NONE }}));
    Counters::NONE
}

/// The peer sends data, then RST, and the process closes with the data unread.
fn rst_with_unread_data(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.data(10);
    peer.expect_ack();
    peer.rst();
    us.close();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes { unread: 10, ..Bytes::NONE }}));
    Counters { established_reset: 1, ..Counters::NONE }
}
