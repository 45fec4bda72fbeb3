//! Why a send failed.

use serde::{Deserialize, Serialize};

use super::{
    errno::{is_by_arguments, is_by_connect, is_by_icmp, is_by_tcp},
    rules::decide,
    verdict::{Cause, Outcome},
};
use crate::{
    event::{Socket, State},
    story::{End, Story},
    words::{
        errno::{ECONNABORTED, ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT},
        words,
    },
};

words! {
    /// The cause of the failed send.
    WriteCause {
        /// The peer had reset the connection.
        PeerReset = "peer_reset",
        /// The peer had closed, and answered an earlier write of ours with a reset.
        WriteAfterPeerFin = "write_after_peer_fin",
        /// The peer had closed and then reset the connection, without a write of ours.
        ResetAfterPeerFin = "reset_after_peer_fin",
        /// We had shut down our own sending side.
        LocalShutdown = "local_shutdown",
        /// The peer had stopped answering.
        Timeout = "timeout",
        /// An ICMP message had come. It ended the handshake, or the socket has IP_RECVERR and the connection goes on.
        IcmpError = "icmp_error",
        /// This host ended the connection: `ss -K`, `connect(AF_UNSPEC)`, or `shutdown()` while connecting.
        Destroyed = "destroyed",
        /// The socket was never connected, or is not connected yet.
        NotConnected = "not_connected",
        /// The peer had refused the connection.
        Refused = "refused",
        /// An argument of the call was wrong: EFAULT, EINVAL and similar errors.
        InvalidArgument = "invalid_argument",
        /// None of these.
        Other = "other",
    }
}

/// Why a send failed, and how long after the peer's FIN or a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteVerdict {
    /// Why.
    pub cause: WriteCause,
    /// Time since the peer's FIN, ns; None if no FIN was seen.
    pub since_peer_fin_ns: Option<u64>,
    /// Time since the reset of either side, ns; None if no reset was seen.
    pub since_reset_ns: Option<u64>,
}

/// Explains a failed send at `ns` (`CLOCK_MONOTONIC`) by the story of its connection, or by the socket alone if no
/// end was seen. `errno` is positive.
#[must_use]
pub fn write_error(story: Option<&Story>, ns: u64, errno: u32, socket: &Socket) -> WriteVerdict {
    let since = |then: Option<u64>| then.map(|then| ns.saturating_sub(then));
    let reset_ns = story.and_then(|story| {
        let received = story.reset_received.map(|received| received.ns);
        received.or_else(|| story.reset_sent.as_ref().map(|sent| sent.ns))
    });
    let ended = story.and_then(|story| Some((story, story.end?)));
    let cause = by_call(errno).unwrap_or_else(|| match ended {
        Some((story, end)) => by_end(story, &end, errno),
        None => by_socket(errno, socket),
    });
    WriteVerdict {
        cause,
        since_peer_fin_ns: since(story.and_then(|story| story.peer_fin).map(|fin| fin.ns)),
        since_reset_ns: since(reset_ns),
    }
}

/// The cause of an error that is about the call and says nothing about the connection.
const fn by_call(errno: u32) -> Option<WriteCause> {
    if is_by_arguments(errno) {
        Some(WriteCause::InvalidArgument)
    } else if is_by_connect(errno) {
        Some(WriteCause::NotConnected)
    } else {
        None
    }
}

/// The connection is over. The send got the error that the end left (`sk_err`), or EPIPE if that error was already
/// reported.
fn by_end(story: &Story, end: &End, errno: u32) -> WriteCause {
    let left = end.socket.err == errno;
    if !left && !is_by_tcp(errno) {
        return if is_by_icmp(errno) { WriteCause::IcmpError } else { WriteCause::Other };
    }
    let ruling = decide(story);
    match (ruling.outcome, ruling.cause) {
        // A socket that was shut down fails in this way, whether or not its connection has ended.
        (Outcome::Graceful, _) | (_, Cause::DataAfterClose) => WriteCause::LocalShutdown,
        (_, Cause::PeerReset) => WriteCause::PeerReset,
        (_, Cause::WriteAfterPeerFin) => WriteCause::WriteAfterPeerFin,
        (_, Cause::ResetAfterPeerFin) => WriteCause::ResetAfterPeerFin,
        (_, Cause::IcmpError) => WriteCause::IcmpError,
        (Outcome::TimedOut, _) => WriteCause::Timeout,
        (Outcome::Refused, _) => WriteCause::Refused,
        (_, Cause::SocketDestroyed | Cause::Disconnect | Cause::ConnectAbandoned) => WriteCause::Destroyed,
        // inet_shutdown() and connect(AF_UNSPEC) of a connecting socket: tcp_disconnect() leaves ECONNRESET, and the
        // peer had sent nothing.
        _ if end.old == State::SynSent && end.task.is_some() && story.reset_received.is_none() => {
            WriteCause::Destroyed
        }
        _ => WriteCause::Other,
    }
}

/// No end was seen. The connection goes on, or it ended before the observer started, or there was none.
fn by_socket(errno: u32, socket: &Socket) -> WriteCause {
    let peerless = socket.endpoints.remote.port() == 0;
    if socket.state != State::Close {
        return match errno {
            EPIPE if socket.send_shutdown => WriteCause::LocalShutdown,
            // With IP_RECVERR the kernel passes on ICMP errors at once, and the connection goes on.
            _ if is_by_icmp(errno) => WriteCause::IcmpError,
            _ => WriteCause::Other,
        };
    }
    match errno {
        // tcp_disconnect() clears the peer's address.
        ECONNRESET if peerless => WriteCause::Destroyed,
        ETIMEDOUT => WriteCause::Timeout,
        ECONNREFUSED => WriteCause::Refused,
        ECONNABORTED => WriteCause::Destroyed,
        EPIPE if peerless => WriteCause::NotConnected,
        // After the peer's FIN, unacknowledged data of ours provoked the reset, as in `rules::reset_by_peer`. If
        // everything is acknowledged, the connection may also have ended in order.
        EPIPE if socket.flags.done && socket.all_acked() => WriteCause::Other,
        EPIPE if socket.flags.done => WriteCause::WriteAfterPeerFin,
        EPIPE | ECONNRESET => WriteCause::PeerReset,
        // sendto(MSG_FASTOPEN) without a route to the peer, or without permission.
        _ if peerless && is_by_icmp(errno) => WriteCause::NotConnected,
        _ => WriteCause::Other,
    }
}

#[cfg(test)]
mod tests;
