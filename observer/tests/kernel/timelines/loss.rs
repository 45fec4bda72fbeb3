//! Segments that are lost, come twice, or are never acknowledged.

use nix::errno::Errno;
use serde_json::json;

use super::{graceful, timed_out};
use crate::actor::SocketOption;
use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::State;
use crate::peer::{ACK, FIN, Icmp, PSH, Peer};
use crate::report::Bytes;

rows![
    our_fin_lost,
    our_data_lost,
    peer_fin_twice,
    peer_fin_twice_in_time_wait,
    peer_data_twice_after_close,
    last_ack_never_acked,
    fin_wait1_never_acked,
    closing_never_acked,
    partly_acked_then_timeout,
    data_after_peer_fin_never_acked,
    icmp_and_last_ack_never_acked,
    keepalive_unanswered_in_close_wait,
];

/// Our FIN is lost. Its retransmission arrives.
fn our_fin_lost(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.expect_fin_again();
    lab.await_state(&us, State::FinWait1);
    peer.ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// Our last data is lost. Its retransmission arrives after we have closed.
fn our_data_lost(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.send(100);
    us.close();
    peer.expect_data_and_fin(100);
    peer.expect("the data again", |heard| !heard.is_new && heard.segment.sequence == 1);
    peer.ack();
    lab.await_state(&us, State::FinWait2);
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// Our ACK of the peer's FIN is lost, so the FIN comes again. We close long after the first FIN.
fn peer_fin_twice(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    let fin = peer.segment(FIN | ACK);
    peer.send(fin.clone());
    peer.expect_ack();
    us.await_peer_fin();
    peer.send(fin);
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("orderly", "remote", "close"));
    Counters::NONE
}

/// Our last ACK is lost, so the peer's FIN comes again in TIME_WAIT.
fn peer_fin_twice_in_time_wait(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    let fin = peer.segment(FIN | ACK);
    peer.send(fin.clone());
    peer.expect_ack();
    lab.await_state(&us, State::TimeWait);
    peer.send(fin);
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// Our ACK of the peer's data is lost. The data comes again after we have read it and closed. It is not new, so it
/// causes no RST. The kernel counts the segment like new data, so the verdict cannot exclude an RST.
fn peer_data_twice_after_close(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    let data = peer.segment(PSH | ACK).carrying(10);
    peer.send(data.clone());
    us.receive(10);
    us.close();
    peer.expect_fin();
    peer.send(data);
    peer.expect_ack();
    peer.ack();
    let verdict = lab.doubtful_close_of(&us);
    verdict.shows(&graceful("closed_first", "local", "close"));
    verdict.shows(&json!({"evidence": "inferred", "missing": ["records"]}));
    Counters::NONE
}

/// The peer closes first, then we do. Our FIN is never acknowledged.
fn last_ack_never_acked(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_orphan_retries", "1");
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.expect_fin_again();
    lab.close_of(&us).shows(&timed_out("remote", "close")).shows(&json!({"bytes": Bytes::NONE}));
    Counters { abort_on_timeout: 1, ..Counters::NONE }
}

/// We close, and our FIN is never acknowledged.
fn fin_wait1_never_acked(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_orphan_retries", "1");
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.expect_fin_again();
    lab.close_of(&us).shows(&timed_out("local", "close")).shows(&json!({"bytes": Bytes::NONE}));
    Counters { abort_on_timeout: 1, ..Counters::NONE }
}

/// Both close at once, and our FIN is never acknowledged.
fn closing_never_acked(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_orphan_retries", "1");
    let (mut peer, us) = Peer::connected(lab);
    us.close();
    peer.expect_fin();
    peer.send(peer.segment(FIN | ACK).acking(1));
    peer.expect_ack();
    peer.expect_fin_again();
    lab.close_of(&us).shows(&timed_out("simultaneous", "close")).shows(&json!({"bytes": Bytes::NONE}));
    Counters { abort_on_timeout: 1, ..Counters::NONE }
}

/// The peer acknowledges a part of our data, then nothing.
fn partly_acked_then_timeout(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.set(SocketOption::UserTimeout(300));
    us.send(100);
    peer.expect_data(100);
    peer.ack_up_to(41);
    us.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&timed_out("none", "none")).shows(&json!({"bytes": Bytes { unacked: 60, ..Bytes::NONE }}));
    us.send_fails(Errno::ETIMEDOUT);
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ETIMEDOUT", "sigpipe": false, "cause": "timeout",
    }));
    us.close();
    Counters { abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// The peer closes, we write, and no answer comes.
fn data_after_peer_fin_never_acked(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.set(SocketOption::UserTimeout(300));
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.send(100);
    peer.expect_data(100);
    us.await_gone();
    lab.close_of(&us)
        .shows(&timed_out("remote", "none"))
        .shows(&json!({"bytes": Bytes { unacked: 100, after_peer_fin: 100, ..Bytes::NONE }}));
    us.close();
    Counters { abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}

/// As [`last_ack_never_acked`], with an ICMP error meanwhile. The kernel remembers the error, but its timer ends the
/// connection.
fn icmp_and_last_ack_never_acked(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_orphan_retries", "1");
    let (mut peer, us) = Peer::connected(lab);
    peer.fin();
    peer.expect_ack();
    us.await_peer_fin();
    us.close();
    peer.expect_fin();
    peer.icmp(Icmp::HostUnreachable);
    peer.expect_fin_again();
    lab.close_of(&us).shows(&timed_out("remote", "close")).shows(&json!({"bytes": Bytes::NONE}));
    Counters { abort_on_timeout: 1, ..Counters::NONE }
}

/// The peer has closed its side, and answers no keepalive probe.
fn keepalive_unanswered_in_close_wait(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.set(SocketOption::Keepalive { idle: 1, interval: 1, count: 1 });
    peer.fin();
    peer.expect_ack();
    peer.expect_probe();
    peer.expect_rst();
    lab.close_of(&us).shows(&json!({
        "outcome": "timed_out", "cause": "keepalive_timeout", "first_close": "remote", "local_action": "none",
        "bytes": Bytes::NONE, "write_errors": {},
    }));
    us.close();
    Counters { resets_sent: 1, abort_on_timeout: 1, established_reset: 1, ..Counters::NONE }
}
