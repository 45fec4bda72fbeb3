//! ICMP errors: they end a connection attempt, but not an established connection.

use nix::errno::Errno;
use nix::libc;
use serde_json::json;

use super::graceful;
use crate::actor::SocketOption;
use crate::counters::Counters;
use crate::end::End;
use crate::lab::{Family, Lab};
use crate::peer::{Icmp, Peer, SYN, Segment};
use crate::report::{Bytes, Report};
use crate::wait::{DEADLINE, eventually};

rows![
    icmp_host_unreachable,
    icmp_port_unreachable,
    icmp_prohibited,
    icmp_host_unreachable_later,
    icmp_about_another_syn,
    icmp_in_a_connection,
    icmp_told_by_recverr,
    icmp_ends_a_request,
    icmp_port_unreachable_later,
    icmp_prohibited_later,
];

/// A router reports the host as unreachable.
fn icmp_host_unreachable(lab: &Lab) -> Counters {
    icmp_answers_syn(lab, Icmp::HostUnreachable)
}

/// The host reports the port as unreachable, as `iptables -j REJECT` does.
fn icmp_port_unreachable(lab: &Lab) -> Counters {
    icmp_answers_syn(lab, Icmp::PortUnreachable)
}

/// A firewall reports that it rejects the SYN.
fn icmp_prohibited(lab: &Lab) -> Counters {
    icmp_answers_syn(lab, Icmp::Prohibited)
}

fn icmp_answers_syn(lab: &Lab, icmp: Icmp) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    // While connect() holds the socket the kernel only stores the error, and acts on no later message.
    let waits = eventually(DEADLINE, || us.actor.sleeps_in(libc::SYS_connect).then_some(()));
    assert!(waits.is_some(), "connect() did not block");
    peer.icmp(icmp);
    refused_by(lab, &us, icmp);
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// The first SYN gets no answer, the second an ICMP message.
fn icmp_host_unreachable_later(lab: &Lab) -> Counters {
    icmp_answers_later_syn(lab, Icmp::HostUnreachable)
}

fn icmp_port_unreachable_later(lab: &Lab) -> Counters {
    icmp_answers_later_syn(lab, Icmp::PortUnreachable)
}

fn icmp_prohibited_later(lab: &Lab) -> Counters {
    icmp_answers_later_syn(lab, Icmp::Prohibited)
}

fn icmp_answers_later_syn(lab: &Lab, icmp: Icmp) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.expect_syn_again();
    peer.icmp(icmp);
    refused_by(lab, &us, icmp);
    Counters { attempts_failed: 1, ..Counters::NONE }
}

/// The attempt ended by ICMP: no RST came, and nothing timed out.
fn refused_by(lab: &Lab, us: &End<'_>, icmp: Icmp) {
    let errno = icmp.errno(lab.family);
    assert_eq!(us.actor.answer(), Err(errno), "connecting");
    by_icmp(&lab.close_of(us), errno);
    us.close();
}

fn by_icmp(verdict: &Report, errno: Errno) {
    verdict.shows(&json!({
        "outcome": "refused", "cause": "icmp_error", "error": format!("{errno:?}"),
        "first_close": "none", "local_action": "none",
        "half_closed": {"local_ms": null, "remote_ms": null},
        "bytes": Bytes::NONE, "reset": null, "write_errors": {},
    }));
}

/// The kernel ignores an ICMP message that quotes a segment which was never sent.
fn icmp_about_another_syn(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.begin_connect();
    peer.icmp_about(Icmp::PortUnreachable, &Segment::new(SYN, 70_000, 0));
    peer.syn_ack();
    us.actor.answer().expect("connecting");
    peer.expect_ack();
    us.close();
    peer.expect_fin();
    peer.ack();
    lab.close_of(&us).shows(&graceful("closed_first", "local", "close"));
    Counters::NONE
}

/// In an established connection the kernel only remembers an ICMP error. The segment arrives by its retransmission.
fn icmp_in_a_connection(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::connected(lab);
    us.send(100);
    peer.expect_data(100);
    peer.icmp(Icmp::HostUnreachable);
    peer.ack();
    us.await_acked();
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    lab.close_of(&us).shows(&graceful("orderly", "local", "close"));
    Counters::NONE
}

/// With IP_RECVERR one write fails with the ICMP error. The next write succeeds, and the connection ends in order.
fn icmp_told_by_recverr(lab: &Lab) -> Counters {
    let (mut peer, us) = Peer::accepted(lab);
    us.set(SocketOption::PassIcmpErrors);
    us.send(100);
    peer.expect_data(100);
    peer.icmp(Icmp::PortUnreachable);
    us.await_error();
    us.send_fails(Errno::ECONNREFUSED);
    lab.write_error_of(&us).shows(&json!({
        "errno": "ECONNREFUSED", "sigpipe": false, "cause": "icmp_error",
        "since_peer_fin_ms": null, "since_reset_ms": null,
    }));
    // The data did arrive.
    peer.ack();
    us.send(100);
    peer.expect_data(100);
    peer.ack();
    us.await_acked();
    us.close();
    peer.expect_fin();
    peer.fin();
    peer.expect_ack();
    let mut expected = graceful("orderly", "local", "close");
    expected["write_errors"] = json!({"ECONNREFUSED": 1});
    lab.close_of(&us).shows(&expected);
    Counters::NONE
}

/// The listener's SYN-ACK is reported as undeliverable. The kernel drops the request, so the peer's ACK belongs to no
/// connection. Over IPv4 errors from routers do this, over IPv6 permanent errors.
fn icmp_ends_a_request(lab: &Lab) -> Counters {
    let mut peer = Peer::new(lab);
    let us = peer.listener();
    peer.syn();
    peer.expect_syn_ack();
    peer.icmp(match lab.family {
        Family::Ipv4 => Icmp::HostUnreachable,
        Family::Ipv6 => Icmp::PortUnreachable,
    });
    peer.ack();
    peer.expect_rst();
    lab.reset_of_unconnected(&us).shows(&json!({"cause": "other"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}
