//! Reports → the one sentence a colleague would write: who, how, why, and what it cost.

use super::errno;
use crate::{
    classify::{
        StrayCause, WriteCause,
        verdict::{Cause, FirstClose, Verdict},
    },
    event::Task,
    report::{Report, StrayReset, WriteFailure},
    story::LocalAction,
};

/// The sentence, without a full stop.
#[must_use]
pub fn of(report: &Report) -> String {
    match report {
        Report::Close(verdict) => close(verdict),
        Report::WriteError(failure) => write_error(failure),
        Report::StrayReset(reset) => stray(reset),
        Report::LingerExpired(expired) => format!(
            "close() of {} gave up lingering after {} with data or its FIN unacknowledged; the kernel keeps trying",
            who(expired.process.as_ref()),
            span(expired.configured_ms.saturating_mul(1_000_000))
        ),
    }
}

fn close(v: &Verdict) -> String {
    let who = who(v.process.as_ref());
    let how = how(v);
    let remote = v.endpoints.remote;
    match v.cause {
        Cause::Orderly => orderly(v, &who, how.as_deref()),
        Cause::ClosedFirst => format!(
            "{who} {} first; the peer acknowledged the FIN",
            how.as_deref().unwrap_or("closed")
        ),
        Cause::UnreadData => format!(
            "{who} {} with {} unread, so the kernel reset the connection",
            how.as_deref().unwrap_or("closed"),
            bytes(v.bytes.unread)
        ),
        Cause::LingerZero => format!(
            "{who} {} with SO_LINGER {{on, 0}}: {}{}",
            how.as_deref().unwrap_or("closed"),
            if v.reset.is_some() { "the connection was reset" } else { "nothing was sent" },
            thrown_away(v)
        ),
        Cause::Linger2Negative => {
            format!(
                "{who} closed with TCP_LINGER2 below zero, so the kernel reset instead of waiting for the peer"
            )
        }
        Cause::DataAfterClose => {
            format!(
                "{who} {}, then data of the peer arrived and was answered with a reset",
                past(v, how.as_deref())
            )
        }
        Cause::Disconnect => {
            format!("{who} disconnected with connect(AF_UNSPEC): the connection was reset{}", thrown_away(v))
        }
        Cause::NeverAccepted => {
            "the listener closed before anybody accepted the connection, so it was reset".to_owned()
        }
        Cause::SocketDestroyed => format!(
            "the socket of {who} was destroyed from outside (ss -K or the like) and the peer was reset{}",
            thrown_away(v)
        ),
        Cause::OrphanLimit => format!(
            "the kernel ran out of memory for orphaned sockets and reset the connection{}",
            thrown_away(v)
        ),
        Cause::FinWait2Timeout => {
            format!("{who} had closed, the peer never did, and the kernel gave up with a reset")
        }
        Cause::InvalidSegment => {
            "a segment that does not belong to the connection made the kernel reset it".to_owned()
        }
        Cause::Mptcp => "MPTCP reset this subflow".to_owned(),
        Cause::PeerReset => format!("the peer reset the connection of {who}{}", not_delivered(v)),
        Cause::WriteAfterPeerFin => format!(
            "{who} wrote {} after the peer had closed{}; the peer answered with a reset and nobody read {}",
            bytes(v.bytes.after_peer_fin),
            v.half_closed.remote_ns.map_or_else(String::new, |ns| format!(" ({} before the end)", span(ns))),
            if v.bytes.after_peer_fin == 1 { "it" } else { "them" }
        ),
        Cause::ResetAfterPeerFin => {
            format!("the peer closed and then reset the connection of {who}{}", not_delivered(v))
        }
        Cause::RetransmitTimeout => format!(
            "the peer stopped acknowledging and the kernel gave up the connection of {who}{}",
            not_delivered(v)
        ),
        Cause::KeepaliveTimeout => format!(
            "the peer stopped answering keepalive probes and the kernel gave up the connection of {who}{}",
            not_delivered(v)
        ),
        Cause::ConnectTimeout => format!("{who} got no answer from {remote} while connecting"),
        Cause::IcmpError => {
            format!("the connection of {who} to {remote} was refused by an ICMP error")
        }
        Cause::Refused => format!("{who} was refused: {remote} answered the SYN with a reset"),
        Cause::ConnectAbandoned => format!("{who} closed while still connecting to {remote}"),
        Cause::Repair => format!("{who} closed the socket in repair mode: the peer was told nothing"),
        Cause::NetnsGone => "its network namespace went away: the peer was told nothing".to_owned(),
        Cause::Unknown => {
            let missing: Vec<_> = v.missing.iter().map(|missing| missing.word()).collect();
            format!("how the connection of {who} ended could not be told; missing: {}", missing.join(", "))
        }
    }
}

fn orderly(v: &Verdict, who: &str, how: Option<&str>) -> String {
    let how = how.unwrap_or("closed");
    match v.first_close {
        FirstClose::Simultaneous => format!("both sides closed at the same time; {who} {how}"),
        FirstClose::Remote => match v.half_closed.remote_ns {
            Some(ns) => format!("the peer closed first; {who} {how} {} later", span(ns)),
            None => format!("the peer closed first; {who} {how}"),
        },
        FirstClose::Local | FirstClose::None | FirstClose::Unknown => match v.half_closed.local_ns {
            Some(ns) => format!("{who} {how}; the peer followed {} later", span(ns)),
            None => format!("{who} {how}; the peer followed"),
        },
    }
}

fn write_error(f: &WriteFailure) -> String {
    let who = who(f.process.as_ref());
    let signal = if f.sigpipe { " and SIGPIPE" } else { "" };
    let told = format!("{who} tried to write and got {}{signal}", errno::name(f.errno));
    let ago = |ns: Option<u64>| ns.map_or_else(String::new, |ns| format!(" {} before", span(ns)));
    match f.verdict.cause {
        WriteCause::PeerReset => {
            format!("{told}: the peer had reset the connection{}", ago(f.verdict.since_reset_ns))
        }
        WriteCause::WriteAfterPeerFin => format!(
            "{told}: the peer had closed{} and answered an earlier write with a reset",
            ago(f.verdict.since_peer_fin_ns)
        ),
        WriteCause::ResetAfterPeerFin => {
            format!("{told}: the peer had closed and then reset the connection{}", ago(f.verdict.since_reset_ns))
        }
        WriteCause::IcmpError => format!("{told}: an ICMP error had come"),
        WriteCause::InvalidArgument => format!("{told}: the arguments of the call were invalid"),
        WriteCause::LocalShutdown => format!("{told}: its own side was shut down for writing"),
        WriteCause::Timeout => format!("{told}: the peer had stopped answering"),
        WriteCause::Destroyed => format!("{told}: the socket was destroyed or disconnected"),
        WriteCause::NotConnected => format!("{told}: the socket is not connected"),
        WriteCause::Refused => format!("{told}: the connection was refused"),
        WriteCause::Other => told,
    }
}

fn stray(reset: &StrayReset) -> String {
    let (local, remote) = (reset.endpoints.local, reset.endpoints.remote);
    match reset.cause {
        StrayCause::ClosedPort => format!("a segment from {remote} was reset: nobody has {local}"),
        StrayCause::TimeWaitData => {
            format!("data from {remote} came for a connection that {local} had closed, and was reset")
        }
        StrayCause::Embryonic => format!("a connection from {remote} was reset before anybody accepted it"),
        StrayCause::InvalidSegment => {
            format!(
                "a segment from {remote} that is not of the handshake of {local} was reset; the handshake goes on"
            )
        }
        StrayCause::Other => format!("a segment from {remote} to {local} was reset"),
    }
}

/// `nginx[812]`.
fn who(process: Option<&Task>) -> String {
    process.map_or_else(
        || "a process that was not seen".to_owned(),
        |task| format!("{}[{}]", task.comm, task.pid),
    )
}

fn how(v: &Verdict) -> Option<String> {
    Some(match v.local_action? {
        LocalAction::Close => "closed".to_owned(),
        LocalAction::ShutdownRead => "shut down its reading side".to_owned(),
        LocalAction::ShutdownWrite => "shut down its writing side".to_owned(),
        LocalAction::ShutdownBoth => "shut down both directions".to_owned(),
        LocalAction::ProcessExit => "exited".to_owned(),
        LocalAction::Killed => {
            let signal = v.process.map_or(0, |task| task.signal);
            format!("was killed by signal {signal}")
        }
        LocalAction::Disconnect => "disconnected".to_owned(),
    })
}

/// "had closed", for what came before what the sentence is about.
fn past(v: &Verdict, how: Option<&str>) -> String {
    match v.local_action {
        Some(LocalAction::ShutdownWrite | LocalAction::ShutdownBoth) => {
            format!("had {}", how.unwrap_or_default())
        }
        Some(LocalAction::ProcessExit) => "had exited".to_owned(),
        Some(LocalAction::Killed) => "had been killed".to_owned(),
        _ => "had closed".to_owned(),
    }
}

fn thrown_away(v: &Verdict) -> String {
    match v.bytes.unacked + v.bytes.unsent {
        0 => String::new(),
        lost => format!(", and {} of ours {} thrown away", bytes(lost), were(lost)),
    }
}

fn not_delivered(v: &Verdict) -> String {
    match (v.bytes.unacked, v.bytes.unsent) {
        (0, 0) => String::new(),
        (unacked, 0) => format!("; {} of ours {} not acknowledged", bytes(unacked), were(unacked)),
        (0, unsent) => format!("; {} of ours {} never sent", bytes(unsent), were(unsent)),
        (unacked, unsent) => {
            format!("; {} of ours {} not acknowledged and {unsent} never sent", bytes(unacked), were(unacked))
        }
    }
}

pub(crate) fn bytes(count: impl Into<u64>) -> String {
    let count = count.into();
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

const fn were(count: u32) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// A time span with three digits at most: `850 µs`, `12 ms`, `3.0 s`, `5 min`.
#[must_use]
pub fn span(ns: u64) -> String {
    let (us, ms, s) = (ns / 1000, ns / 1_000_000, ns / 1_000_000_000);
    match () {
        () if us < 1000 => format!("{us} µs"),
        () if ms < 1000 => format!("{ms} ms"),
        () if s < 60 => format!("{s}.{} s", ms % 1000 / 100),
        () if s < 3600 => format!("{} min {} s", s / 60, s % 60),
        () => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        let cases = [
            (0, "0 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1 ms"),
            (3_040_000_000, "3.0 s"),
            (59_990_000_000, "59.9 s"),
            (90_000_000_000, "1 min 30 s"),
            (7_260_000_000_000, "2 h 1 min"),
        ];
        for (ns, text) in cases {
            assert_eq!(span(ns), text);
        }
    }
}
