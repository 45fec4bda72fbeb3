//! The behaviours of two ends of a connection. Each returns the expected reports on both ends.
//!
//! `a` acts first and `b` is its peer. Which of them connected is random.

use nix::errno::Errno;
use serde_json::json;

use crate::actor::{Action, How, SocketOption};
use crate::random::driver::{Place, attempt_refused, unaccepted};
use crate::random::rng::Rng;
use crate::random::side::{Expected, Side, State};
use crate::report::Bytes;

pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    /// Relative frequency.
    pub(crate) weight: u64,
    pub(crate) action: fn(&Place, &mut Rng) -> Vec<Expected>,
}

/// Behaviours that take the kernel longer (a timeout, a retransmission) are rarer.
pub(crate) const ALL: &[Behaviour] = &[
    Behaviour { name: "close", weight: 20, action: close },
    Behaviour { name: "timed_linger", weight: 5, action: timed_linger },
    Behaviour { name: "shutdown", weight: 20, action: shutdown },
    Behaviour { name: "half_close", weight: 20, action: half_close },
    Behaviour { name: "linger_zero", weight: 10, action: linger_zero },
    Behaviour { name: "linger_zero_after_shutdown", weight: 5, action: linger_zero_after_shutdown },
    Behaviour { name: "linger_zero_after_fin", weight: 5, action: linger_zero_after_fin },
    Behaviour { name: "linger_zero_after_fins", weight: 5, action: linger_zero_after_fins },
    Behaviour { name: "unread", weight: 10, action: unread },
    Behaviour { name: "unread_after_shutdown", weight: 5, action: unread_after_shutdown },
    Behaviour { name: "unread_after_close", weight: 5, action: unread_after_close },
    Behaviour { name: "unread_reply", weight: 5, action: unread_reply },
    Behaviour { name: "write_after_close", weight: 20, action: write_after_close },
    Behaviour { name: "write_after_shutdown", weight: 10, action: write_after_shutdown },
    Behaviour { name: "disconnect", weight: 5, action: disconnect },
    Behaviour { name: "negative_linger2", weight: 5, action: negative_linger2 },
    Behaviour { name: "refused", weight: 10, action: refused },
    Behaviour { name: "abandoned", weight: 5, action: abandoned },
    Behaviour { name: "never_accepted", weight: 5, action: never_accepted },
    Behaviour { name: "crossing_fins", weight: 5, action: crossing_fins },
    Behaviour { name: "timeout", weight: 5, action: timeout },
];

const ORDERLY: (&str, &str) = ("graceful", "orderly");
const PEER_STILL_OPEN: (&str, &str) = ("graceful", "closed_first");
const PEER_RESET: (&str, &str) = ("reset_received", "peer_reset");

/// A closes, then B.
fn close(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.close();
    b.take_peer_fin();
    b.close();
    vec![
        // B sends its acknowledgement at once. Sometimes one is lost in a full backlog queue.
        a.ends(PEER_STILL_OPEN, "local", "close", Bytes::NONE).or_orderly(),
        b.ends(ORDERLY, "remote", "close", Bytes::NONE),
    ]
}

/// As [`close`], and A waits until its FIN is acknowledged.
fn timed_linger(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.linger(5);
    a.close();
    b.await_peer_fin();
    b.close();
    let linger = json!({"mode": "timed", "configured_ms": 5000, "result": "acked"});
    vec![
        a.ends(PEER_STILL_OPEN, "local", "close", Bytes::NONE).with("linger", linger),
        b.ends(ORDERLY, "remote", "close", Bytes::NONE),
    ]
}

/// A shuts down and keeps the socket until B has closed. It may still try to write.
fn shutdown(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let (how, action) =
        if rng.coin() { (How::Write, "shutdown_write") } else { (How::Both, "shutdown_both") };
    a.shutdown(how);
    for _ in 0..rng.below(3) {
        a.send_fails(Errno::EPIPE, "local_shutdown", rng.coin());
    }
    b.await_peer_fin();
    a.await_state(State::FinWait2);
    b.close();
    a.await_state(State::Close);
    if rng.coin() {
        a.send_fails(Errno::EPIPE, "local_shutdown", rng.coin());
    }
    a.close();
    vec![a.ends(ORDERLY, "local", action, Bytes::NONE), b.ends(ORDERLY, "remote", "close", Bytes::NONE)]
}

/// A shuts down writing after its request. B replies and closes.
fn half_close(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let (request, reply) = (rng.bytes(), rng.bytes());
    a.send(request);
    a.shutdown(How::Write);
    b.receive_to_end(request);
    b.send(reply);
    b.close();
    a.receive_to_end(reply);
    a.close();
    vec![
        a.ends(ORDERLY, "local", "shutdown_write", Bytes::NONE),
        b.ends(ORDERLY, "remote", "close", Bytes { after_peer_fin: reply as u64, ..Bytes::NONE }),
    ]
}

/// A closes with SO_LINGER zero.
fn linger_zero(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.linger(0);
    a.close();
    after_reset(&mut b, rng);
    vec![
        a.ends(("reset_sent", "linger_zero"), "local", "close", Bytes::NONE),
        b.ends(PEER_RESET, "remote", "none", Bytes::NONE),
    ]
}

/// A shuts down its side, then closes with SO_LINGER zero.
fn linger_zero_after_shutdown(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.shutdown(How::Write);
    b.await_peer_fin();
    a.await_state(State::FinWait2);
    a.linger(0);
    a.close();
    b.await_gone();
    b.close();
    vec![
        a.ends(("reset_sent", "linger_zero"), "local", "shutdown_write", Bytes::NONE),
        b.ends(("reset_received", "reset_after_peer_fin"), "remote", "none", Bytes::NONE),
    ]
}

/// As [`linger_zero`], when B has already shut down its side.
fn linger_zero_after_fin(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    b.shutdown(How::Write);
    a.await_peer_fin();
    b.await_state(State::FinWait2);
    a.linger(0);
    a.close();
    b.await_gone();
    b.close();
    vec![
        a.ends(("reset_sent", "linger_zero"), "remote", "close", Bytes::NONE),
        b.ends(PEER_RESET, "local", "shutdown_write", Bytes::NONE),
    ]
}

/// As [`linger_zero`], when both have shut down and A's FIN is lost. The kernel sends no RST, so B notices nothing.
fn linger_zero_after_fins(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    b.shutdown(How::Write);
    a.await_peer_fin();
    b.await_state(State::FinWait2);
    b.silence();
    a.shutdown(How::Write);
    a.linger(0);
    a.close();
    b.close();
    vec![
        a.ends(("aborted", "linger_zero"), "remote", "shutdown_write", Bytes::NONE),
        b.ends(PEER_STILL_OPEN, "local", "shutdown_write", Bytes::NONE),
    ]
}

/// A closes with B's data unread.
fn unread(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = sends_unread(&b, &a, rng);
    a.close();
    after_reset(&mut b, rng);
    vec![
        a.ends(("reset_sent", "unread_data"), "local", "close", Bytes { unread: bytes, ..Bytes::NONE }),
        b.ends(PEER_RESET, "remote", "none", Bytes::NONE),
    ]
}

/// As [`unread`], when B has already shut down its side.
fn unread_after_shutdown(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = sends_unread(&b, &a, rng);
    b.shutdown(How::Write);
    a.await_peer_fin();
    b.await_state(State::FinWait2);
    a.close();
    b.await_gone();
    b.close();
    vec![
        a.ends(("reset_sent", "unread_data"), "remote", "close", Bytes { unread: bytes, ..Bytes::NONE }),
        b.ends(PEER_RESET, "local", "shutdown_write", Bytes::NONE),
    ]
}

/// As [`unread`], when B has already closed: B's connection has ended before A's RST.
fn unread_after_close(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = sends_unread(&b, &a, rng);
    // Otherwise A's delayed acknowledgement might come with A's RST, or just before it.
    b.linger(5);
    b.close();
    a.close();
    vec![
        a.ends(("reset_sent", "unread_data"), "remote", "close", Bytes { unread: bytes, ..Bytes::NONE }),
        b.ends(PEER_STILL_OPEN, "local", "close", Bytes::NONE),
    ]
}

/// A shuts down writing after its request, and closes with the reply unread.
fn unread_reply(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.shutdown(How::Write);
    b.await_peer_fin();
    let bytes = sends_unread(&b, &a, rng);
    a.close();
    b.await_gone();
    for _ in 0..rng.below(3) {
        b.send_fails(Errno::EPIPE, "write_after_peer_fin", rng.coin());
    }
    b.close();
    vec![
        a.ends(
            ("reset_sent", "unread_data"),
            "local",
            "shutdown_write",
            Bytes { unread: bytes, ..Bytes::NONE },
        ),
        b.ends(
            ("reset_received", "write_after_peer_fin"),
            "remote",
            "none",
            Bytes { after_peer_fin: bytes, ..Bytes::NONE },
        ),
    ]
}

/// A closes. B writes, which is answered by RST, and may write again.
fn write_after_close(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = rng.bytes();
    // B writes only after A's FIN is acknowledged: an acknowledgement together with the data is another scenario.
    a.linger(5);
    a.close();
    b.take_peer_fin();
    b.send(bytes);
    a.resets("time_wait_data");
    b.await_gone();
    for _ in 0..rng.below(3) {
        b.send_fails(Errno::EPIPE, "write_after_peer_fin", rng.coin());
    }
    b.close();
    vec![
        a.ends(PEER_STILL_OPEN, "local", "close", Bytes::NONE),
        b.ends(("reset_received", "write_after_peer_fin"), "remote", "none", lost_after_fin(bytes)),
    ]
}

/// As [`write_after_close`], but A has only shut down both sides.
fn write_after_shutdown(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = rng.bytes();
    a.shutdown(How::Both);
    b.await_peer_fin();
    a.await_state(State::FinWait2);
    b.send(bytes);
    b.await_gone();
    for _ in 0..rng.below(3) {
        b.send_fails(Errno::EPIPE, "write_after_peer_fin", rng.coin());
    }
    a.await_state(State::Close);
    a.close();
    b.close();
    vec![
        a.ends(("reset_sent", "data_after_close"), "local", "shutdown_both", Bytes::NONE),
        b.ends(("reset_received", "write_after_peer_fin"), "remote", "none", lost_after_fin(bytes)),
    ]
}

/// A ends the connection by connect(AF_UNSPEC) and keeps the socket.
fn disconnect(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.does(Action::Disconnect);
    after_reset(&mut b, rng);
    a.close();
    vec![
        a.ends(("reset_sent", "disconnect"), "local", "disconnect", Bytes::NONE),
        b.ends(PEER_RESET, "remote", "none", Bytes::NONE),
    ]
}

/// A has shut down, then closes with a negative TCP_LINGER2: the kernel does not wait for B's FIN.
fn negative_linger2(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    a.set(SocketOption::Linger2(-1));
    a.shutdown(How::Write);
    b.await_peer_fin();
    a.await_state(State::FinWait2);
    a.close();
    b.await_gone();
    b.close();
    vec![
        a.ends(("reset_sent", "linger2_negative"), "local", "shutdown_write", Bytes::NONE),
        b.ends(("reset_received", "reset_after_peer_fin"), "remote", "none", Bytes::NONE),
    ]
}

/// The port has no listener.
fn refused(_: &Place, _: &mut Rng) -> Vec<Expected> {
    let mut a = attempt_refused();
    let mut closed = Side::without_socket(a.remote, a.local);
    closed.resets("closed_port");
    a.close();
    vec![a.ends(("refused", "refused"), "none", "none", Bytes::NONE), closed.ends_nothing()]
}

/// A closes while its SYN gets no answer.
fn abandoned(place: &Place, _: &mut Rng) -> Vec<Expected> {
    let mut a = place.connecting();
    a.close();
    place.answer_again();
    vec![a.ends(("aborted", "connect_abandoned"), "none", "close", Bytes::NONE)]
}

/// A's listener is closed with B's connection in its queue.
fn never_accepted(_: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (listener, mut b) = unaccepted();
    drop(listener);
    after_reset(&mut b, rng);
    let a = Side::without_socket(b.remote, b.local);
    vec![
        a.ends(("reset_sent", "never_accepted"), "local", "none", Bytes::NONE),
        b.ends(PEER_RESET, "remote", "none", Bytes::NONE),
    ]
}

/// Both shut down, and B sends its FIN before A's FIN arrives. A sees that the FINs crossed. B gets A's FIN with the
/// ACK of its own, so it may look as if B closed first.
fn crossing_fins(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    b.silence();
    a.shutdown(How::Write);
    b.shutdown(How::Write);
    b.hear_again();
    // Until the retransmission of A's FIN, after at least 200 ms.
    a.await_state(State::Close);
    b.await_state(State::Close);
    a.close();
    b.close();
    vec![
        a.ends(ORDERLY, "simultaneous", "shutdown_write", Bytes::NONE),
        b.ends(ORDERLY, "local", "shutdown_write", Bytes::NONE),
    ]
}

/// A gives up on a peer that does not answer. The peer's connection ends later, when the peer closes.
fn timeout(place: &Place, rng: &mut Rng) -> Vec<Expected> {
    let (mut a, mut b) = place.pair(rng);
    let bytes = rng.bytes();
    b.silence();
    a.set(SocketOption::UserTimeout(300));
    a.send(bytes);
    a.await_gone();
    if rng.coin() {
        a.send_fails(Errno::ETIMEDOUT, "timeout", rng.coin());
        a.send_fails(Errno::EPIPE, "timeout", rng.coin());
    }
    a.close();
    b.hear_again();
    // B's FIN finds no connection, whether or not A's port has a listener.
    a.resets("other");
    b.close();
    vec![
        a.ends(
            ("timed_out", "retransmit_timeout"),
            "none",
            "none",
            Bytes { unacked: bytes as u64, ..Bytes::NONE },
        ),
        b.ends(PEER_RESET, "local", "close", Bytes::NONE),
    ]
}

/// After the RST this end may read, write, do both or nothing before it closes.
fn after_reset(b: &mut Side, rng: &mut Rng) {
    b.await_gone();
    let (reads, writes) = (rng.coin(), rng.below(3));
    if reads {
        b.receive_fails(Errno::ECONNRESET);
    }
    for write in 0..writes {
        // Only the first call after the RST gets ECONNRESET.
        let errno = if write == 0 && !reads { Errno::ECONNRESET } else { Errno::EPIPE };
        b.send_fails(errno, "peer_reset", rng.coin());
    }
    b.close();
}

/// Sends bytes that the receiver acknowledges and does not read. Returns their number.
fn sends_unread(sender: &Side, receiver: &Side, rng: &mut Rng) -> u64 {
    let bytes = rng.bytes();
    sender.send(bytes);
    receiver.await_readable(bytes);
    sender.await_acked();
    bytes as u64
}

/// The expected bytes for a write after the peer's FIN that is never acknowledged.
fn lost_after_fin(bytes: usize) -> Bytes {
    Bytes { unacked: bytes as u64, after_peer_fin: bytes as u64, ..Bytes::NONE }
}
