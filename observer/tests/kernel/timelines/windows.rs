//! A peer that takes no more, and probes.

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

/// The peer takes nothing; we write and close, and so does the peer, by a RST. Our FIN has never left its queue.
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

/// The peer takes nothing when we close, and everything later.
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

/// The peer takes nothing when we close, and does not answer our probes either.
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

/// The peer takes the first half of what we write, acknowledges nothing, and resets.
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

/// Our FIN waits behind data for which the peer has no room, and the peer's FIN comes meanwhile: the peer closed first.
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

/// The first keepalive probe is answered, the second by a RST: the peer has forgotten us meanwhile.
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
