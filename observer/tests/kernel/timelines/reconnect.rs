//! One socket with several connections, each with its own verdict.

use nix::errno::Errno;
use serde_json::json;

use super::{aborted, graceful};
use crate::actor::{Action, How};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::peer::{ACK, Icmp, Peer, RST};
use crate::report::{Bytes, reset_received_in, reset_sent_in};

rows![refused_then_connected, icmp_then_connected, disconnected_then_connected, abandoned_then_connected];

/// The same socket connects with success, and both sides close.
fn connects_again<'lab>(lab: &'lab Lab, peer: &mut Peer<'lab>, us: &End<'lab>) {
    let us = peer.connects_again(us);
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
}

/// At first the port has no listener. The process tries again with the same socket.
fn refused_then_connected(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.send(peer.segment(RST | ACK));
    assert_eq!(us.actor.answer(), Err(Errno::ECONNREFUSED), "connecting");
    lab.close_of(&us).shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_received_in("SYN_SENT"), "write_errors": {},
    }));
    connects_again(lab, &mut peer, &us);
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// At first the host is unreachable.
fn icmp_then_connected(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.icmp(Icmp::HostUnreachable);
    assert_eq!(us.actor.answer(), Err(Errno::EHOSTUNREACH), "connecting");
    lab.close_of(&us).shows(&json!({
        "outcome": "refused", "cause": "icmp_error", "error": "EHOSTUNREACH", "first_close": "none",
        "local_action": "none", "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
    connects_again(lab, &mut peer, &us);
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// connect(AF_UNSPEC) ends a connection, and connect() begins another.
fn disconnected_then_connected(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.call(Action::Disconnect).expect("disconnecting");
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "disconnect", "first_close": "local", "local_action": "disconnect",
        "bytes": Bytes::NONE, "reset": reset_sent_in("ESTABLISHED"), "write_errors": {},
    }));
    connects_again(lab, &mut peer, &us);
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// shutdown() ends a connection attempt. The next attempt forgets the shutdown.
fn abandoned_then_connected(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.shutdown(How::Both);
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "shutdown_both"));
    connects_again(lab, &mut peer, &us);
    Counters::NONE
}
