//! TCP Fast Open: data in the SYN, and sockets that exist before the handshake ends.

use std::time::Duration;

use nix::errno::Errno;
use serde_json::json;

use super::{graceful, reset_by_peer};
use crate::actor::{Action, How, SocketOption};
use crate::counters::Counters;
use crate::destroy::destroy;
use crate::end::End;
use crate::lab::{Family, Lab};
use crate::peer::{ACK, Icmp, Peer, RST, SYN};
use crate::report::{Bytes, reset_received_in, reset_sent_in};

rows![
    fast_open_connect_unused,
    fast_open_data_refused,
    fast_open_data_not_taken,
    fast_open_child_opened_by_remote,
    fast_open_child_closed_in_syn_recv,
    fast_open_child_shut_down_in_syn_recv,
    fast_open_child_reset_in_syn_recv,
    fast_open_child_icmp,
    fast_open_accepted_child_survives_icmp,
    fast_open_child_unread_at_close,
    fast_open_child_destroyed,
    fast_open_child_never_accepted,
];

/// tcp_fastopen for clients and servers, without cookies and without the listener's socket option.
const EVERYWHERE: &str = "1539";

/// A socket whose connect() waits for the first write.
fn deferred<'lab>(lab: &'lab Lab, peer: &Peer<'lab>) -> End<'lab> {
    let us = peer.client();
    us.call(Action::Open { ipv6: matches!(lab.family, Family::Ipv6) }).expect("opening a socket");
    us.set(SocketOption::FastOpenConnect);
    us.call(Action::ConnectOpened(peer.address())).expect("connecting");
    us
}

/// connect() succeeds, but the kernel sends no SYN before the first write, which never comes. So there was no
/// connection.
fn fast_open_connect_unused(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    for _ in 0..3 {
        let us = deferred(lab, &peer);
        us.close();
    }
    peer.expect_nothing_for(Duration::from_millis(50));
    Counters::NONE
}

/// A SYN with data is refused: the data is lost.
fn fast_open_data_refused(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let mut us = deferred(lab, &peer);
    us.set(SocketOption::NonBlocking);
    us.send(10);
    let syn = peer.expect_syn();
    assert_eq!(syn.bytes, 10, "data in the SYN");
    us.local = peer.host();
    peer.send(peer.segment(RST | ACK));
    us.await_gone();
    lab.close_of(&us).shows(&json!({
        "outcome": "refused", "cause": "refused", "first_close": "none", "local_action": "none",
        "bytes": Bytes { unacked: 10, ..Bytes::NONE }, "reset": reset_received_in("SYN_SENT"),
    }));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// A SYN with ten bytes was answered. The child is in SYN_RECV and not accepted.
fn child(lab: &Lab) -> (Peer<'_>, End<'_>) {
    lab.netns.set("ipv4/tcp_fastopen", EVERYWHERE);
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.send(peer.segment(SYN).carrying(10));
    peer.expect_syn_ack();
    (peer, us)
}

/// As [`child`], accepted and read.
fn accepted_child(lab: &Lab) -> (Peer<'_>, End<'_>) {
    let (peer, us) = child(lab);
    Peer::accept(&us);
    us.receive(10);
    (peer, us)
}

/// The handshake goes on as usual.
fn fast_open_child_opened_by_remote(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    peer.ack();
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The server closes before the handshake ends.
fn fast_open_child_closed_in_syn_recv(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    us.close();
    peer.expect_fin();
    peer.ack();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// The server shuts down before the handshake ends. The kernel may delay the FIN until then.
fn fast_open_child_shut_down_in_syn_recv(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    us.shutdown(How::Write);
    peer.ack_up_to(1);
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "shutdown_write"));
    us.close();
    Counters::NONE
}

/// The peer sends RST before the handshake ends. The kernel counts the failed attempt twice: the request and the
/// socket.
fn fast_open_child_reset_in_syn_recv(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    peer.send(peer.segment(RST));
    us.await_gone();
    lab.close_of(&us)
        .shows(&reset_by_peer("peer_reset", "SYN_RECV", "remote", "none"))
        .shows(&json!({"bytes": Bytes::NONE, "write_errors": {}}));
    us.close();
    Counters { attempts_failed: 2, ..Counters::NONE }
}

/// A router reports the peer as unreachable before the child is accepted. That ends the child at once. After a later
/// accept() the data can still be read.
fn fast_open_child_icmp(lab: &Lab) -> Counters {
    let (mut peer, us) = child(lab);
    peer.icmp(Icmp::HostUnreachable);
    Peer::accept(&us);
    us.receive(10);
    assert_eq!(us.call(Action::Receive(1)), Err(Errno::EHOSTUNREACH), "reading");
    lab.close_unaccepted(&us).shows(&json!({
        "outcome": "refused", "cause": "icmp_error", "error": "EHOSTUNREACH", "first_close": "none",
        "reset": null, "write_errors": {},
    }));
    us.close();
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// An accepted child is like any connection: an ICMP message does not end it.
fn fast_open_accepted_child_survives_icmp(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    peer.icmp(Icmp::HostUnreachable);
    peer.ack();
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// The peer's answer acknowledges the SYN but not its data, which is sent again.
fn fast_open_data_not_taken(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let mut us = deferred(lab, &peer);
    us.set(SocketOption::NonBlocking);
    us.send(10);
    peer.expect_syn();
    us.local = peer.host();
    peer.send(peer.segment(SYN | ACK).at(0).acking(1));
    peer.expect("the data again", |heard| !heard.is_new && heard.segment.bytes == 10);
    peer.ack();
    us.await_acked();
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// The server closes before the handshake ends, with the data unread.
fn fast_open_child_unread_at_close(lab: &Lab) -> Counters {
    let (mut peer, us) = child(lab);
    Peer::accept(&us);
    us.close();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "close",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "reset": reset_sent_in("SYN_RECV"), "write_errors": {},
    }));
    Counters { resets_sent: 1, abort_on_close: 1, ..Counters::NONE }
}

/// `ss -K` before the handshake ends.
fn fast_open_child_destroyed(lab: &Lab) -> Counters {
    let (mut peer, us) = accepted_child(lab);
    lab.netns.run(|| destroy(us.local, us.remote)).expect("destroying a socket");
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "socket_destroyed", "first_close": "local", "local_action": "none",
        "bytes": Bytes::NONE, "reset": reset_sent_in("SYN_RECV"), "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}

/// The listener closes before the handshake ends and before accept().
fn fast_open_child_never_accepted(lab: &Lab) -> Counters {
    let (mut peer, us) = child(lab);
    peer.close_listener();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "first_close": "local",
        "bytes": Bytes { unread: 10, ..Bytes::NONE }, "reset": reset_sent_in("SYN_RECV"), "write_errors": {},
    }));
    Counters { resets_sent: 1, ..Counters::NONE }
}
