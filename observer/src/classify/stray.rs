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
        /// Data for a connection of ours in TIME_WAIT, or in FIN_WAIT2, which the kernel keeps in the same form.
        TimeWaitData = "time_wait_data",
        /// A request that was not accepted yet.
        Embryonic = "embryonic",
        /// A segment that is not of the handshake under way, which goes on.
        InvalidSegment = "invalid_segment",
        /// None of these.
        Other = "other",
    }
}

/// From the state of the socket that the segment found.
///
/// `tcp_v4_rcv` passes no socket for a closed port, and for a segment of a connection that is not known here: the port
/// may be in use by others then, so that only a SYN says that nothing listens. It passes the minisocket for TIME_WAIT; `tcp_check_req` passes the
/// listener for a request of its, with INVALID_SYN as the reason (6.10 and later). A listener also answers stray
/// acknowledgements (`tcp_rcv_state_process`), which belong to no request; without a reason the segment itself tells,
/// since a request is reset for one that `asks` for a connection anew. A connecting socket also resets segments that do
/// not belong to its handshake (`tcp_rcv_synsent_state_process`, and `tcp_rcv_state_process` in SYN_RECV).
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
