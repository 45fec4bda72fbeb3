//! Segments for a connection of which only a minisocket is left, or a full orphan.
//!
//! A minisocket in TIME_WAIT answers data by an ACK, one in FIN_WAIT2 by RST (`tcp_timewait_state_process`).

use std::time::Duration;

use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, PSH, Peer, RST};
use crate::report::{Bytes, reset_sent_in};

rows![
    rst_in_time_wait,
    data_in_time_wait,
    syn_in_time_wait,
    data_for_fin_wait2_orphan,
    rst_for_fin_wait2_orphan,
    fin_for_fin_wait2_orphan,
    data_for_full_orphan,
    rst_for_full_orphan,
    fin_for_full_orphan,
];

/// We have closed first, and both FINs are acknowledged.
fn in_time_wait<'lab>(lab: &'lab Lab, (mut peer, us): (Peer<'lab>, End<'lab>)) -> (Peer<'lab>, End<'lab>) {
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.await_state(&us, State::TimeWait);
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    (peer, us)
}

/// RST ends TIME_WAIT early. No connection ends by it.
fn rst_in_time_wait(lab: &Lab) -> Counters {
    let (mut peer, us) = in_time_wait(lab, Peer::connected(lab));
    peer.send(peer.segment(RST));
    lab.await_out_of_state(&us, State::TimeWait);
    Counters::NONE
}

/// Data beyond the peer's own FIN.
fn data_in_time_wait(lab: &Lab) -> Counters {
    let (mut peer, us) = in_time_wait(lab, Peer::connected(lab));
    peer.send_ignored(peer.segment(PSH | ACK).carrying(10));
    peer.expect_ack();
    lab.await_state(&us, State::TimeWait);
    Counters::NONE
}

/// The peer connects again from the same port, which TCP allows: one story ends, another begins.
fn syn_in_time_wait(lab: &Lab) -> Counters {
    let (mut peer, us) = in_time_wait(lab, Peer::accepted(lab));
    peer.forget_connection();
    peer.syn();
    peer.expect_syn_ack();
    peer.ack();
    Peer::accept(&us);
    peer.fin();
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// We have closed, and the peer has acknowledged our FIN but not closed. The kernel keeps only a minisocket.
fn fin_wait2_orphan(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    (peer, us)
}

/// The peer sends data that no process can read.
fn data_for_fin_wait2_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = fin_wait2_orphan(lab);
    peer.data(10);
    peer.expect_rst();
    lab.reset_of(&us).shows(&json!({"cause": "time_wait_data"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// The peer sends RST without having closed.
fn rst_for_fin_wait2_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = fin_wait2_orphan(lab);
    peer.send(peer.segment(RST));
    lab.await_out_of_state(&us, State::FinWait2);
    Counters::NONE
}

/// The peer closes at last.
fn fin_for_fin_wait2_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = fin_wait2_orphan(lab);
    peer.send(peer.segment(FIN | ACK));
    peer.expect_ack();
    lab.await_state(&us, State::TimeWait);
    peer.expect_nothing_for(Duration::from_millis(50));
    Counters::NONE
}

/// As [`fin_wait2_orphan`], but the kernel keeps the full socket, because tcp_fin_timeout is more than a minute.
fn full_orphan(lab: &Lab) -> (Peer<'_>, End<'_>) {
    lab.netns.set("ipv4/tcp_fin_timeout", "61");
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    (peer, us)
}

/// The peer sends data that no process can read.
fn data_for_full_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = full_orphan(lab);
    peer.data(10);
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "data_after_close", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_data: 1, ..Counters::NONE }
}

/// The peer sends RST without having closed.
fn rst_for_full_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = full_orphan(lab);
    peer.send(peer.segment(RST));
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "FIN_WAIT2", "local", "close"))
        .shows(&json!({"bytes": Bytes::NONE}));
    Counters::NONE
}

/// The peer closes at last.
fn fin_for_full_orphan(lab: &Lab) -> Counters {
    let (mut peer, us) = full_orphan(lab);
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}
