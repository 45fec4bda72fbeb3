//! Why a send failed.

use serde::{Deserialize, Serialize};

use super::{rules::decide, verdict::Cause};
use crate::{
    classify::verdict::{Outcome, words},
    event::{Socket, State},
    story::Story,
};

words! {
    /// What made a send fail.
    WriteCause {
        /// The peer had reset the connection.
        PeerReset = "peer_reset",
        /// The peer had closed, and an earlier write of ours was answered with a reset.
        WriteAfterPeerFin = "write_after_peer_fin",
        /// The peer had closed and then reset the connection, not in answer to a write of ours.
        ResetAfterPeerFin = "reset_after_peer_fin",
        /// We had closed or shut down our own sending side.
        LocalShutdown = "local_shutdown",
        /// The peer had stopped answering.
        Timeout = "timeout",
        /// An ICMP error.
        IcmpError = "icmp_error",
        /// The socket was destroyed from outside, or disconnected.
        Destroyed = "destroyed",
        /// The socket was never connected, or not yet.
        NotConnected = "not_connected",
        /// The peer had refused the connection.
        Refused = "refused",
        /// The call itself was wrong: EFAULT, EINVAL and the like.
        InvalidArgument = "invalid_argument",
        /// None of these.
        Other = "other",
    }
}

/// Why a send failed, and when what caused it had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteVerdict {
    /// Why.
    pub cause: WriteCause,
    /// Since the peer's FIN, ns; None when none was seen.
    pub since_peer_fin_ns: Option<u64>,
    /// Since the reset of either side, ns; None when none was seen.
    pub since_reset_ns: Option<u64>,
}

const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;
const ECONNABORTED: u32 = 103;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;

/// Explains a failed send by the story of its connection, or by the socket alone where no end was seen.
#[must_use]
pub fn write_error(story: Option<&Story>, ns: u64, errno: u32, socket: &Socket) -> WriteVerdict {
    let since = |then: Option<u64>| then.map(|then| ns.saturating_sub(then));
    let reset_ns = story.and_then(|story| {
        let received = story.reset_received.map(|received| received.ns);
        received.or_else(|| story.reset_sent.as_ref().map(|sent| sent.ns))
    });
    WriteVerdict {
        cause: story.and_then(|story| by_story(story, errno)).unwrap_or_else(|| by_socket(errno, socket)),
        since_peer_fin_ns: since(story.and_then(|story| story.peer_fin).map(|fin| fin.ns)),
        since_reset_ns: since(reset_ns),
    }
}

fn by_story(story: &Story, errno: u32) -> Option<WriteCause> {
    // tcp_sendmsg_locked: what is about the call itself (EFAULT, EMSGSIZE, EINTR) says nothing about the connection.
    // What ended the connection says something, whatever it is: EHOSTUNREACH, after an ICMP message.
    let ended_it = story.end.is_some_and(|end| end.socket.err == errno);
    if !matches!(errno, EPIPE | ECONNRESET | ECONNABORTED | ETIMEDOUT | ECONNREFUSED) && !ended_it {
        return Some(WriteCause::Other);
    }
    if story.end.is_none() {
        return story.fin_sent.map(|_| WriteCause::LocalShutdown);
    }
    let ruling = decide(story);
    match (ruling.outcome, ruling.cause) {
        // A socket that was shut down fails so whether or not its connection has ended by now.
        (Outcome::Graceful, _) => Some(WriteCause::LocalShutdown),
        (_, Cause::PeerReset) => Some(WriteCause::PeerReset),
        (_, Cause::WriteAfterPeerFin | Cause::ResetAfterPeerFin) => Some(WriteCause::WriteAfterPeerFin),
        (Outcome::TimedOut, _) => Some(WriteCause::Timeout),
        (Outcome::Refused, _) => Some(WriteCause::Refused),
        (_, Cause::SocketDestroyed | Cause::Disconnect) => Some(WriteCause::Destroyed),
        (_, Cause::DataAfterClose) => Some(WriteCause::LocalShutdown),
        _ => None,
    }
}

/// Without a story: the connection ended before the observer came, or never was.
fn by_socket(errno: u32, socket: &Socket) -> WriteCause {
    match errno {
        ECONNRESET => WriteCause::PeerReset,
        ETIMEDOUT => WriteCause::Timeout,
        ECONNREFUSED => WriteCause::Refused,
        ECONNABORTED => WriteCause::Destroyed,
        EPIPE if socket.endpoints.remote.port() == 0 => WriteCause::NotConnected,
        EPIPE if socket.state == State::Close && socket.flags.done => WriteCause::WriteAfterPeerFin,
        EPIPE if socket.state == State::Close => WriteCause::PeerReset,
        EPIPE if socket.send_shutdown => WriteCause::LocalShutdown,
        _ => WriteCause::Other,
    }
}
