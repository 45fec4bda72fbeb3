//! Sockets without a process, whose end the kernel waits for.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::counters::Counters;
use crate::lab::Lab;
use crate::netns::{Netns, State};
use crate::report::{Bytes, reset_received_in, reset_sent_in};
use crate::row::Row;
use crate::wait::let_pass;

rows![fin_wait2_timeout, last_processes_of_netns_killed,];

/// Their limit is the machine's, not the network namespace's.
pub(crate) const LONE_ROWS: &[Row] = &[
    Row { name: "orphan_limit_at_close", run: orphan_limit_at_close },
    Row { name: "orphan_limit_at_retransmit", run: orphan_limit_at_retransmit },
];

/// F5. The time for an orphan to get the peer's FIN runs out. The kernel sends RST only if that time was shortened
/// meanwhile: the last minute is spent in a minisocket, which ends silently.
fn fin_wait2_timeout(lab: &Lab) -> Counters {
    lab.netns.set("ipv4/tcp_fin_timeout", "61");
    let (us, peer) = lab.pair();
    us.close();
    lab.await_state(&us, State::FinWait2);
    lab.netns.set("ipv4/tcp_fin_timeout", "60");
    peer.await_gone();
    lab.close_of(&us).lasted("/half_closed/local_ms", 900.0, 2500.0).shows(&json!({
        "outcome": "reset_sent", "cause": "fin_wait2_timeout", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT2"), "write_errors": {}, "evidence": "exact",
    }));
    lab.close_of(&peer).lasted("/half_closed/remote_ms", 900.0, 2500.0).shows(&json!({
        "outcome": "reset_received", "cause": "reset_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
    }));
    peer.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// F12. The last processes of a network namespace are killed, and their FINs stay unacknowledged. A socket that a
/// process made keeps its namespace (`sk_net_refcnt`), so these sockets end like any others.
fn last_processes_of_netns_killed(lab: &Lab) -> Counters {
    let other = lab.another_lab();
    other.netns.set("ipv4/tcp_orphan_retries", "1");
    let (us, peer) = other.pair();
    us.silence();
    peer.silence();
    other.cli.kill(Signal::SIGKILL);
    other.srv.kill(Signal::SIGKILL);
    other.netns.let_go();
    for end in [&us, &peer] {
        other.close_of(end).shows(&json!({
            "outcome": "timed_out", "cause": "retransmit_timeout", "first_close": "local",
            "local_action": "killed", "bytes": Bytes::NONE, "reset": null, "write_errors": {},
            "evidence": "exact",
        }));
    }
    other.ends_silently();
    Counters::NONE
}

/// F10. We close when there are already too many orphans (tcp_max_orphans is 0), and our FIN is not acknowledged.
fn orphan_limit_at_close(lab: &Lab) -> Counters {
    let (first, first_peer) = lab.pair();
    let (us, peer) = lab.pair();
    first_peer.silence();
    peer.silence();
    first.close();
    // The kernel sums up its orphans every 100 ms.
    let_pass(Duration::from_millis(300));
    let before = Netns::set_machine("ipv4/tcp_max_orphans", "0");
    us.close();
    Netns::set_machine("ipv4/tcp_max_orphans", before.trim());
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "orphan_limit", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {}, "evidence": "exact",
    }));
    first_peer.hear_again();
    lab.await_state(&first, State::FinWait2);
    first_peer.close();
    lab.close_of(&first).shows(&json!({"outcome": "graceful"}));
    lab.close_of(&first_peer).shows(&json!({"outcome": "graceful"}));
    // The peer did not receive the RST: its own FIN reaches a port without a socket.
    peer.hear_again();
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 2, abort_on_memory: 1, ..Counters::NONE }
}

/// F11. As [`orphan_limit_at_close`], but the limit is lowered later. The timer for the FIN's retransmission finds one
/// orphan too many.
fn orphan_limit_at_retransmit(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.silence();
    us.close();
    let before = Netns::set_machine("ipv4/tcp_max_orphans", "0");
    lab.await_out_of_state(&us, State::FinWait1);
    Netns::set_machine("ipv4/tcp_max_orphans", before.trim());
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_sent", "cause": "orphan_limit", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": reset_sent_in("FIN_WAIT1"), "write_errors": {}, "evidence": "exact",
    }));
    // The peer did not receive the RST: its own FIN reaches a port without a socket.
    peer.hear_again();
    peer.close();
    lab.reset_of(&us).shows(&json!({"cause": "other"}));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 2, abort_on_memory: 1, ..Counters::NONE }
}
