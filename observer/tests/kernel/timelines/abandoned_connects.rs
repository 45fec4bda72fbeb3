//! Connection attempts that our own side abandons, or never begins.

use nix::errno::Errno;
use nix::libc;
use serde_json::json;

use super::aborted;
use super::connecting::closes_in_order;
use crate::actor::{Action, How};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::end::End;
use crate::lab::Lab;
use crate::peer::Peer;

rows![
    shutdown_read_in_syn_sent,
    shutdown_write_in_syn_sent,
    shutdown_both_in_syn_sent,
    disconnect_in_syn_sent,
    destroyed_in_syn_sent,
    syn_ack_after_close,
    exit_in_syn_sent,
    connect_without_port,
    fast_open_write_while_connecting,
];

/// shutdown() of either side ends a connection attempt. A later write gets a local error, without any packet from the
/// peer.
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
    assert_ne!(error.value("/cause"), "peer_reset", "the peer sent no packet");
    us.close();
    Counters::NONE
}

/// connect(AF_UNSPEC) ends a connection attempt silently.
fn disconnect_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.call(Action::Disconnect).expect("disconnecting");
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "disconnect"));
    us.close();
    Counters::NONE
}

/// `ss -K` ends a connection attempt silently.
fn destroyed_in_syn_sent(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    assert_eq!(us.actor.answer(), Err(Errno::ECONNABORTED), "connecting");
    lab.close_of(&us).shows(&aborted("socket_destroyed", "none", "none"));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// We close while connecting. The peer's answer comes too late, and finds no socket.
fn syn_ack_after_close(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    us.close();
    peer.syn_ack();
    peer.expect_rst();
    lab.close_of(&us).shows(&aborted("connect_abandoned", "none", "close"));
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
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

/// No local port is free, so no SYN is sent. There was no connection and there is no verdict.
fn connect_without_port(lab: &Lab) -> Counters {
    // Two ports, one of which is reserved. For a range of one port the kernel prints a warning.
    lab.netns.set("ipv4/ip_local_port_range", "40000 40001");
    lab.netns.set("ipv4/ip_local_reserved_ports", "40001");
    let (mut peer, us) = Peer::connected(lab);
    let second = End { name: "second".to_owned(), ..peer.client() };
    for _ in 0..3 {
        assert_eq!(second.call(Action::Connect(peer.address())), Err(Errno::EADDRNOTAVAIL), "connecting");
        second.close();
    }
    closes_in_order(lab, &mut peer, &us);
    Counters::NONE
}

/// A write with MSG_FASTOPEN while the socket is already connecting: EALREADY.
fn fast_open_write_while_connecting(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.connecting();
    let write = Action::Send { bytes: 10, flags: libc::MSG_FASTOPEN };
    assert_eq!(us.call(write), Err(Errno::EALREADY), "writing while connecting");
    lab.write_error_of(&us).shows(&json!({"errno": "EALREADY", "sigpipe": false}));
    us.close();
    let mut expected = aborted("connect_abandoned", "none", "close");
    expected["write_errors"] = json!({"EALREADY": 1});
    lab.close_of(&us).shows(&expected);
    Counters::NONE
}
