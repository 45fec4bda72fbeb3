//! Closed windows of the peer, and probes.

use serde_json::json;

use super::{graceful, reset_by_peer, timed_out};
use crate::actor::SocketOption;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, Peer, RST};
use crate::report::Bytes;

rows![
    zero_window_then_rst,
    zero_window_opens_after_close,
    zero_window_never_opens,
    window_for_a_half_then_rst,
    fin_waits_for_window_then_fin,
    keepalive_answered_then_reset,
];

/// The peer's window is closed. We write and close, then the peer sends RST. Our FIN was never sent.
fn zero_window_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.window(0);
    us.send(1000);
    us.close();
    peer.expect_probe();
    peer.rst();
    lab.close_of(&us).shows(&reset_by_peer("peer_reset", "FIN_WAIT1", "remote", "close")).shows(&json!({
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes { unsent: 1000, ..Bytes::NONE },
    }));
    Counters::NONE
}

/// The peer's window is closed when we close, and opens later.
fn zero_window_opens_after_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.window(0);
    us.send(1000);
    us.close();
    peer.expect_probe();
    peer.ack();
    peer.expect_data_and_fin(1000);
    peer.ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// The peer's window is closed when we close, and the peer does not answer our probes.
fn zero_window_never_opens(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_orphan_retries", "1");
    let (mut peer, us) = Peer::connected(lab);
    peer.window(0);
    us.send(1000);
    us.close();
    peer.expect_probe();
    lab.close_of(&us).shows(&timed_out("none", "close")).shows(&json!({
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes { unsent: 1000, ..Bytes::NONE },
    }));
    Counters { abort_on_timeout: 1, ..Counters::NONE }
}

/// The peer's window takes half of our data. The peer acknowledges nothing and sends RST.
fn window_for_a_half_then_rst(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.window(500);
    us.send(1000);
    peer.expect_data(500);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes { unacked: 500, unsent: 500, ..Bytes::NONE }}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}

/// Our FIN waits behind data that does not fit the window. The peer's FIN comes meanwhile, so the peer closed first.
fn fin_waits_for_window_then_fin(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    peer.window(0);
    us.send(1000);
    us.close();
    peer.expect_probe();
    peer.send(peer.segment(FIN | ACK).with_window(0));
    lab.await_state(&us, State::Closing);
    peer.ack();
    peer.expect_data_and_fin(1000);
    peer.ack();
    lab.close_of(&us)
        .shows(&graceful("orderly", "remote", "close"))
        .shows(&json!({"half_closed": {"local_ms": null}}));
    Counters::NONE
}

/// The peer answers the first keepalive probe by an ACK, the second by RST.
fn keepalive_answered_then_reset(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.set(SocketOption::Keepalive { idle: 1, interval: 1, count: 5 });
    peer.expect_probe();
    peer.ack();
    peer.expect_probe();
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "ESTABLISHED", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE}));
    us.close();
    Counters { established_reset: 1, ..Counters::NONE }
}
