//! Why a reset was sent for no live connection.

use crate::{
    event::{Reason, State},
    words::words,
};

words! {
    /// Cause of a reset that was sent for no live connection.
    StrayCause {
        /// A SYN for a port on which nothing listens.
        ClosedPort = "closed_port",
        /// Data for a connection in TIME_WAIT, or for an orphan in FIN_WAIT2, which the kernel keeps as a minisocket
        /// too.
        TimeWaitData = "time_wait_data",
        /// A connection request whose handshake was not complete.
        Embryonic = "embryonic",
        /// A segment that does not belong to the handshake in progress, which goes on.
        InvalidSegment = "invalid_segment",
        /// None of these.
        Other = "other",
    }
}

/// The cause of a reset, from the state of the socket that the segment found. `asks` says that the segment was a SYN.
///
/// - No socket: `tcp_v4_rcv()` passes none for a closed port, and none for a connection that is not known here. In the
///   second case the port may be in use, so only a SYN shows that nothing listens.
/// - TIME_WAIT: `tcp_v4_rcv()` passes the minisocket.
/// - LISTEN: `tcp_check_req()` passes the listener for one of its requests, with the reason INVALID_SYN (6.10 and
///   later). A listener also answers stray acknowledgements, which belong to no request (`tcp_rcv_state_process()`).
///   Without a reason the segment decides, because a request is reset for a second SYN.
/// - SYN_SENT, SYN_RECV: a connecting socket resets segments that do not belong to its handshake
///   (`tcp_rcv_synsent_state_process()`, and `tcp_rcv_state_process()` in SYN_RECV).
#[must_use]
pub fn stray_cause(state: Option<State>, reason: Option<&Reason>, asks: bool) -> StrayCause {
    match (state, reason.map(AsRef::as_ref)) {
        (None, None | Some("NO_SOCKET")) if asks => StrayCause::ClosedPort,
        (Some(State::TimeWait), _) => StrayCause::TimeWaitData,
        (Some(State::NewSynRecv), _) | (Some(State::Listen), Some("INVALID_SYN")) => StrayCause::Embryonic,
        (Some(State::Listen), None) if asks => StrayCause::Embryonic,
        (Some(State::SynSent | State::SynRecv), _) => StrayCause::InvalidSegment,
        _ => StrayCause::Other,
    }
}
