//! How long a connection has been half-closed, as far as this can be proved.
//!
//! The kernel does not record the time of a FIN. It records the time of the last acceptable ACK
//! ([`tcp_ack()`](https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c), `tp->rcv_tstamp`):
//! - CLOSE_WAIT: every FIN carries an ACK. Either this ACK was acceptable, or a later ACK, sent after the FIN, had
//!   overtaken it. In both cases the peer had sent its FIN when the last acceptable ACK came.
//! - FIN_WAIT2: an ACK of our FIN came, so the FIN was sent before it.
//! - FIN_WAIT1: no recorded time is later than the FIN.
//!
//! Therefore the time since that ACK is a lower bound. On an idle connection it is the age, less one round trip at
//! most. Acknowledged data and answered keepalive probes make it smaller. There is no upper bound, because the
//! kernel's times wrap after 50 days.

use super::diag::DiagSocket;
use crate::event::State;

/// How long a connection has been half-closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// This many ns: a daemon saw the FIN.
    Exact(u64),
    /// This many ns or more.
    AtLeast(u64),
    /// Nothing is known.
    Unknown,
}

impl Age {
    /// `since` is the time of the FIN, if a daemon saw it; all times are `CLOCK_MONOTONIC`, ns.
    pub(super) fn of(socket: &DiagSocket, since: Option<u64>, now_ns: u64, tick_ns: u64) -> Self {
        if let Some(since) = since {
            return Self::Exact(now_ns.saturating_sub(since));
        }
        match (socket.state, socket.info) {
            // The kernel rounds both times down to whole ticks.
            (State::CloseWait | State::FinWait2, Some(info)) => {
                let ns = u64::from(info.last_ack_ms) * 1_000_000;
                Self::AtLeast(ns.saturating_sub(tick_ns))
            }
            _ => Self::Unknown,
        }
    }

    /// The age or its lower bound, ns. None sorts before every number.
    #[must_use]
    pub const fn ns(self) -> Option<u64> {
        match self {
            Self::Exact(ns) | Self::AtLeast(ns) => Some(ns),
            Self::Unknown => None,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::AtLeast(_) => "at_least",
            Self::Unknown => "unknown",
        }
    }
}
