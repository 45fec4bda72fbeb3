//! Segments that belong to no connection, answered by RST.

use serde_json::json;

use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::raw;
use crate::report::reset_received_in;

rows![stray_ack_in_handshake, stray_ack_at_listener, second_syn_before_ack,];

/// F13. An ACK that does not belong to the handshake arrives, as from an older connection of the same ports. It is
/// answered by RST, and the handshake goes on.
fn stray_ack_in_handshake(lab: &Lab) -> Counters {
    let port = lab.silent_listener();
    let send = |us: &End<'_>, flag, sequence| {
        let (from, to) = (us.remote, us.local);
        lab.netns.run(|| raw::send(from, to, flag, sequence)).expect("sending a segment");
    };
    let stray = |us: &End<'_>, sequence| {
        send(us, raw::Flag::Ack, sequence);
        lab.reset_of_unconnected(us).shows(&json!({"cause": "invalid_segment"}));
    };

    let us = lab.connecting(port);
    stray(&us, 1000);
    let peer = lab.accept_late(&us);
    us.close();
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "reset": null,
        "evidence": "exact",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "orderly", "evidence": "exact"}));

    let us = lab.connecting(lab.silent_listener());
    stray(&us, 1000);
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "aborted", "cause": "connect_abandoned", "reset": null, "evidence": "exact",
    }));

    // The peer connects at the same time, then resets its attempt.
    let us = lab.connecting(lab.silent_listener());
    send(&us, raw::Flag::Syn, 1000);
    stray(&us, 1001);
    send(&us, raw::Flag::Rst, 1001);
    us.await_gone();
    us.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "reset_received", "cause": "peer_reset", "first_close": "remote",
        "reset": reset_received_in("SYN_RECV"), "evidence": "exact",
    }));
    Counters { resets_sent: 3, attempts_failed: 1, ..Counters::NONE }
}

/// F7. An ACK that belongs to no connection reaches a listener.
fn stray_ack_at_listener(lab: &Lab) -> Counters {
    let us = lab.raw_client();
    lab.netns.run(|| raw::send(us.local, us.remote, raw::Flag::Ack, 1000)).expect("sending a segment");
    lab.reset_of_unconnected(&us.other()).shows(&json!({"cause": "other"}));
    Counters { resets_sent: 1, ..Counters::NONE }
}

/// F7. A second SYN arrives, in the window of the first, before the client has acknowledged the SYN-ACK.
fn second_syn_before_ack(lab: &Lab) -> Counters {
    let us = lab.raw_client();
    let send = |sequence| lab.netns.run(|| raw::send(us.local, us.remote, raw::Flag::Syn, sequence));
    send(1000).expect("sending a SYN");
    send(1010).expect("sending the second SYN");
    lab.reset_of_unconnected(&us.other()).shows(&json!({"cause": "embryonic"}));
    Counters { resets_sent: 1, attempts_failed: 1, ..Counters::NONE }
}
