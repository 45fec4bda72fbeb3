//! Metrics of connections. The values of every label except `owner` come from a closed set.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, Registry};

use super::{
    family::{CounterFamily, seconds},
    owner::NONE,
};
use crate::{
    classify::{
        Cause, Outcome, StrayCause, WriteCause,
        verdict::{FirstClose, LingerResult, Verdict},
    },
    report::{StrayReset, WriteFailure},
    words::{LocalAction, Side, errno},
};

pub(super) struct ConnectionFamilies {
    closes: CounterFamily<4>,
    fins_sent: CounterFamily<2>,
    resets_sent: CounterFamily<2>,
    resets_received: CounterFamily<2>,
    /// In the order of [`SIDES`].
    half_closed: [Histogram; 2],
    linger_timeouts: CounterFamily<2>,
    linger_wait: HistogramVec,
    write_errors: CounterFamily<3>,
    writes_after_peer_fin: CounterFamily<1>,
    lost_bytes: CounterFamily<2>,
}

/// The side that has sent its FIN while the other has not.
pub(super) const SIDES: [&str; 2] = ["local", "remote"];
const QUEUES: [&str; 3] = ["unread", "unacked", "unsent"];
const SO_LINGER: &str = "so_linger";
const FIN_WAIT2: &str = "fin_wait2";

impl ConnectionFamilies {
    /// Registers the families, with zeros for all combinations that can occur, and the owner `none`.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let linger_results: Vec<_> = LingerResult::ALL.iter().map(|result| result.word()).collect();
        let half_closed = seconds(
            registry,
            "observer_tcp_half_closed_seconds",
            "Time for which ended connections were half-closed, by the side that had sent its FIN.",
            "side",
            &SIDES,
        )?;
        let families = Self {
            closes: CounterFamily::new(
                registry,
                "observer_tcp_closes_total",
                "Connections that have ended, by outcome and cause, and by the side that sent the first FIN or RST.",
                ["outcome", "cause", "first_close", "owner"],
            )?,
            fins_sent: CounterFamily::new(
                registry,
                "observer_tcp_fins_sent_total",
                "Ended connections on which this host sent a FIN, by the call that queued the FIN.",
                ["action", "owner"],
            )?,
            resets_sent: CounterFamily::new(
                registry,
                "observer_tcp_resets_sent_total",
                "Resets that this host sent: those that ended a connection, and those for no live connection.",
                ["cause", "owner"],
            )?,
            resets_received: CounterFamily::new(
                registry,
                "observer_tcp_resets_received_total",
                "Connections that a reset from the peer ended or refused.",
                ["cause", "owner"],
            )?,
            half_closed: SIDES.map(|side| half_closed.with_label_values(&[side])),
            linger_timeouts: CounterFamily::new(
                registry,
                "observer_tcp_linger_timeouts_total",
                "Expired SO_LINGER waits (so_linger), and orphans whose FIN_WAIT2 timed out with a reset (fin_wait2).",
                ["kind", "owner"],
            )?,
            linger_wait: seconds(
                registry,
                "observer_tcp_linger_wait_seconds",
                "Time for which close() waited because of SO_LINGER, by the result of the wait.",
                "result",
                &linger_results,
            )?,
            write_errors: CounterFamily::new(
                registry,
                "observer_tcp_write_errors_total",
                "Sends that failed, by errno and cause.",
                ["errno", "cause", "owner"],
            )?,
            writes_after_peer_fin: CounterFamily::new(
                registry,
                "observer_tcp_writes_after_peer_fin_total",
                "Connections lost because this host wrote after the peer had closed.",
                ["owner"],
            )?,
            lost_bytes: CounterFamily::new(
                registry,
                "observer_tcp_lost_bytes_total",
                "Bytes in queues when their connection ended: unread (received), unacked (sent), unsent.",
                ["queue", "owner"],
            )?,
        };
        families.zeros();
        Ok(families)
    }

    fn zeros(&self) {
        for cause in Cause::ALL {
            for outcome in cause.outcomes() {
                for first in FirstClose::ALL {
                    self.closes.at([outcome.word(), cause.word(), first.word(), NONE]);
                }
                match outcome {
                    Outcome::ResetSent => drop(self.resets_sent.at([cause.word(), NONE])),
                    // A failing keepalive ends with a reset.
                    Outcome::TimedOut if *cause == Cause::KeepaliveTimeout => {
                        drop(self.resets_sent.at([cause.word(), NONE]));
                    }
                    // An ICMP error comes without a reset.
                    Outcome::Refused if *cause == Cause::IcmpError => {}
                    Outcome::ResetReceived | Outcome::Refused => {
                        drop(self.resets_received.at([cause.word(), NONE]));
                    }
                    Outcome::Graceful | Outcome::TimedOut | Outcome::Aborted | Outcome::Unknown => {}
                }
            }
        }
        for cause in StrayCause::ALL {
            self.resets_sent.at([cause.word(), NONE]);
        }
        // A disconnect sends no FIN.
        for action in LocalAction::ALL.iter().filter(|action| action.sends_fin()) {
            self.fins_sent.at([action.word(), NONE]);
        }
        for errno in errno::NAMES {
            for cause in write_causes(errno) {
                self.write_errors.at([errno, cause.word(), NONE]);
            }
        }
        self.add_owner(NONE);
    }

    /// Creates the series of a new owner for losses, with zeros. A rate shows the first loss only if the series had a
    /// value before it.
    pub(super) fn add_owner(&self, owner: &str) {
        for kind in [SO_LINGER, FIN_WAIT2] {
            self.linger_timeouts.at([kind, owner]);
        }
        self.writes_after_peer_fin.at([owner]);
        for queue in QUEUES {
            self.lost_bytes.at([queue, owner]);
        }
    }

    pub(super) fn close(&self, verdict: &Verdict, owner: &str) {
        let (outcome, cause) = (verdict.head.outcome.word(), verdict.head.cause.word());
        self.closes.at([outcome, cause, verdict.first_close.word(), owner]).inc();
        if let Some(action) =
            verdict.local_action.filter(|_| verdict.fin.is_some_and(|fin| fin.sent != Some(false)))
        {
            self.fins_sent.at([action.word(), owner]).inc();
        }
        match verdict.reset.as_ref().map(|reset| reset.direction) {
            Some(Side::Local) => self.resets_sent.at([cause, owner]).inc(),
            Some(Side::Remote) => self.resets_received.at([cause, owner]).inc(),
            None => {}
        }
        let half_closed = verdict.half_closed;
        for (histogram, ns) in self.half_closed.iter().zip([half_closed.local_ns, half_closed.remote_ns]) {
            if let Some(ns) = ns {
                histogram.observe(in_seconds(ns));
            }
        }
        self.linger(verdict, owner);
        if verdict.head.cause == Cause::WriteAfterPeerFin {
            self.writes_after_peer_fin.at([owner]).inc();
        }
        let bytes = verdict.head.bytes;
        for (queue, lost) in QUEUES.into_iter().zip([bytes.unread, bytes.unacked, bytes.unsent]) {
            if let Some(lost @ 1..) = lost {
                self.lost_bytes.at([queue, owner]).inc_by(lost.into());
            }
        }
    }

    /// Counts a `close()` that gave up lingering. It is counted at once, because the verdict may come minutes later.
    pub(super) fn linger_expired(&self, owner: &str) {
        self.linger_timeouts.at([SO_LINGER, owner]).inc();
    }

    fn linger(&self, verdict: &Verdict, owner: &str) {
        if verdict.head.cause == Cause::FinWait2Timeout {
            self.linger_timeouts.at([FIN_WAIT2, owner]).inc();
        }
        let Some((result, waited_ns)) = verdict.linger.and_then(|linger| linger.result.zip(linger.waited_ns))
        else {
            return;
        };
        self.linger_wait.with_label_values(&[result.word()]).observe(in_seconds(waited_ns));
    }

    pub(super) fn write_error(&self, failure: &WriteFailure, owner: &str) {
        let errno = errno::name(failure.errno);
        self.write_errors.at([errno, failure.verdict.cause.word(), owner]).inc();
    }

    /// Counts a reset for no live connection, which has no owner.
    pub(super) fn stray_reset(&self, reset: &StrayReset) {
        self.resets_sent.at([reset.cause.word(), NONE]).inc();
    }
}

/// The causes that are exported as zero for an errno: those that are to be expected. Any other pair gets its series
/// when it first occurs, because all pairs would be about 350 series.
fn write_causes(errno: &str) -> &'static [WriteCause] {
    use WriteCause::{
        Destroyed, IcmpError, InvalidArgument, LocalShutdown, NotConnected, Other, PeerReset, Refused,
        ResetAfterPeerFin, Timeout, WriteAfterPeerFin,
    };
    match errno {
        "EPIPE" => &[
            PeerReset,
            WriteAfterPeerFin,
            ResetAfterPeerFin,
            LocalShutdown,
            Timeout,
            IcmpError,
            Destroyed,
            NotConnected,
            Refused,
            Other,
        ],
        "ECONNRESET" => &[PeerReset, LocalShutdown, Destroyed, Other],
        "ECONNABORTED" => &[Destroyed],
        "ETIMEDOUT" => &[Timeout],
        "ECONNREFUSED" => &[Refused, IcmpError],
        // A timeout returns the errno of the last ICMP error, if there was one.
        "EHOSTUNREACH" | "ENETUNREACH" => &[Timeout, IcmpError],
        "EHOSTDOWN" | "ENONET" | "ENOPROTOOPT" | "EPROTO" | "EACCES" => &[IcmpError],
        "EFAULT" | "EINVAL" | "EMSGSIZE" | "EDESTADDRREQ" | "EOPNOTSUPP" | "EAFNOSUPPORT" | "EISCONN" => {
            &[InvalidArgument]
        }
        "ENOTCONN" | "EALREADY" | "EADDRNOTAVAIL" | "EADDRINUSE" => &[NotConnected],
        _ => &[Other],
    }
}

fn in_seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests;
