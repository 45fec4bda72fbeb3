//! Data that comes after we have closed or shut down, and data that is unread when we close.

use serde_json::{Value, json};

use super::graceful;
use crate::actor::How;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, PSH, Peer};
use crate::report::{Bytes, reset_sent_in};

rows![
    data_in_fin_wait1_after_close,
    data_in_fin_wait1_after_shutdown,
    data_in_fin_wait1_after_shutdown_both,
    data_in_fin_wait2_after_shutdown,
    data_with_fin_in_fin_wait2_after_shutdown,
    data_acks_fin_after_close,
    fin_out_of_order_after_close,
    unread_data_and_fin,
    unread_data_in_fin_wait2,
    urgent_data_unread_at_close,
];

/// We close. Before the peer acknowledges our FIN it sends data, which no process can read.
fn data_in_fin_wait1_after_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(PSH | ACK).acking(1).carrying(10));
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "data_after_close", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}

/// We shut down our write side. Data that the peer sends before it acknowledges our FIN is delivered.
fn data_in_fin_wait1_after_shutdown(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.send(peer.segment(PSH | ACK).acking(1).carrying(10));
    peer.expect_ack();
    us.receive(10);
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// As [`data_in_fin_wait1_after_close`], but both sides are shut down and the process still has the socket.
fn data_in_fin_wait1_after_shutdown_both(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Both);
    peer.expect_fin();
    peer.send(peer.segment(PSH | ACK).acking(1).carrying(10));
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "data_after_close", "first_close": "local",
        "local_action": "shutdown_both",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}

/// As [`data_in_fin_wait1_after_shutdown`], after the ACK of our FIN.
fn data_in_fin_wait2_after_shutdown(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    peer.data(10);
    peer.expect_ack();
    us.receive(10);
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// As [`data_in_fin_wait2_after_shutdown`], with the peer's FIN in the same segment. The data can be read after the
/// connection has ended.
fn data_with_fin_in_fin_wait2_after_shutdown(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    peer.send(peer.segment(FIN | PSH | ACK).carrying(10));
    peer.expect_ack();
    us.receive_to_end(10);
    lab.close_of(&us).shows(&graceful("orderly", "local", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// We close. One segment of the peer acknowledges our FIN and has data that no process can read.
fn data_acks_fin_after_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.data(10);
    peer.expect_rst();
    lab.close_of(&us).shows(&data_after_close_in_fin_wait2());
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}

/// We close. The peer's FIN arrives without the data before it. No process could read that data, so the kernel sends
/// RST.
fn fin_out_of_order_after_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    let data = peer.segment(PSH | ACK).carrying(10);
    peer.send(peer.segment(FIN | ACK).at(data.end()));
    peer.expect_rst();
    lab.close_of(&us).shows(&data_after_close_in_fin_wait2());
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}

fn data_after_close_in_fin_wait2() -> Value {
    json!({
        "outcome": "reset_sent", "cause": "data_after_close", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    })
}

/// The peer has sent and closed, and we close with its data unread. The FIN does not count as an unread byte.
fn unread_data_and_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(FIN | PSH | ACK).carrying(10));
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "remote", "local_action": "close",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "reset": reset_sent_in("CLOSE_WAIT"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}

/// We have shut down, the peer sends, and we close with its data unread.
fn unread_data_in_fin_wait2(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.shutdown(How::Write);
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    peer.data(10);
    peer.expect_ack();
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "shutdown_write",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_close: 1, ..Counters::NONE }
}

/// The peer's last byte is urgent. All bytes are unread, so all are lost.
fn urgent_data_unread_at_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.send(peer.segment(PSH | ACK).carrying(10).urgent_to(10));
    peer.expect_ack();
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "close",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_close: 1, established_reset: 1, ..Counters::NONE }
}
