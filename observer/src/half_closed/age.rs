//! For how long a connection has been half-closed, and what is provable of that.
//!
//! The kernel keeps no time of a FIN. What it keeps is when the last acceptable ACK came
//! ([`tcp_ack()`](https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c), `tp->rcv_tstamp`):
//! - CLOSE_WAIT: every FIN is an ACK too. Either the FIN's was acceptable, or a younger one of the peer, sent after
//!   the FIN, had overtaken it. Both ways the peer had sent its FIN when the last acceptable ACK came.
//! - FIN_WAIT2: an ACK of our FIN came, so the FIN was sent before it.
//! - FIN_WAIT1: nothing that is kept comes after the FIN.
//!
//! So the time since that ACK is a lower bound. On an idle connection it is the age, less a round trip at most;
//! acknowledged data and answered keepalive probes make it smaller. There is no upper bound to be had: the kernel's
//! times wrap after 50 days.

use super::diag::Listed;
use crate::event::State;

/// For how long a connection has been half-closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// So many ns: somebody saw the FIN.
    Exact(u64),
    /// So many ns or more.
    AtLeast(u64),
    /// Nothing is known.
    Unknown,
}

impl Age {
    /// `since` is when the FIN was seen, if somebody did.
    pub(super) fn of(socket: &Listed, since: Option<u64>, now_ns: u64, tick_ns: u64) -> Self {
        if let Some(since) = since {
            return Self::Exact(now_ns.saturating_sub(since));
        }
        match (socket.state, socket.info) {
            // Both times are whole ticks, cut off.
            (State::CloseWait | State::FinWait2, Some(info)) => {
                let ns = u64::from(info.last_ack_ms) * 1_000_000;
                Self::AtLeast(ns.saturating_sub(tick_ns))
            }
            _ => Self::Unknown,
        }
    }

    /// The number, exact or not; unknown is less than any.
    #[must_use]
    pub const fn ns(self) -> Option<u64> {
        match self {
            Self::Exact(ns) | Self::AtLeast(ns) => Some(ns),
            Self::Unknown => None,
        }
    }

    /// As in the schema.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::AtLeast(_) => "at_least",
            Self::Unknown => "unknown",
        }
    }
}
