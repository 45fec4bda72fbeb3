//! Reports → one sentence each: which process did what, what the kernel or the peer did, and what was lost.

mod close;

use crate::{
    classify::{StrayCause, WriteCause, verdict::Verdict},
    event::{State, Task},
    report::{Report, StrayReset, WriteFailure},
    words::errno,
};

/// The sentence of a verdict, without a full stop.
#[must_use]
pub fn close(verdict: &Verdict) -> String {
    close::of(verdict)
}

/// The sentence of a report, without a full stop.
#[must_use]
pub fn of(report: &Report) -> String {
    match report {
        Report::Close(verdict) => close::of(verdict),
        Report::WriteError(failure) => write_error(failure),
        Report::StrayReset(reset) => stray(reset),
        Report::LingerExpired(expired) => format!(
            "close() of {} gave up lingering after {} with data or its FIN unacknowledged; the kernel keeps trying",
            who(expired.process.as_ref()),
            span(expired.configured_ms.saturating_mul(1_000_000))
        ),
    }
}

fn write_error(f: &WriteFailure) -> String {
    let who = who(f.process.as_ref());
    let signal = if f.sigpipe { " and SIGPIPE" } else { "" };
    let failed = format!("{who} tried to write and got {}{signal}", errno::name(f.errno));
    let ago = |ns: Option<u64>| ns.map_or_else(String::new, |ns| format!(" {} before", span(ns)));
    match f.verdict.cause {
        WriteCause::PeerReset => {
            format!("{failed}: the peer had reset the connection{}", ago(f.verdict.since_reset_ns))
        }
        WriteCause::WriteAfterPeerFin => format!(
            "{failed}: the peer had closed{} and answered an earlier write with RST",
            ago(f.verdict.since_peer_fin_ns)
        ),
        WriteCause::ResetAfterPeerFin => {
            format!(
                "{failed}: the peer had closed and then reset the connection{}",
                ago(f.verdict.since_reset_ns)
            )
        }
        WriteCause::LocalShutdown => format!("{failed}: this side had shut down writing"),
        WriteCause::Timeout => format!("{failed}: the peer had stopped answering"),
        WriteCause::IcmpError => {
            format!("{failed}: an ICMP error about {} had arrived", f.endpoints.remote)
        }
        WriteCause::Destroyed => format!(
            "{failed}: this host had ended the connection itself (ss -K, connect(AF_UNSPEC), or shutdown() while connecting)"
        ),
        WriteCause::NotConnected => format!("{failed}: the socket was not connected"),
        WriteCause::Refused => format!("{failed}: {} had refused the connection", f.endpoints.remote),
        WriteCause::InvalidArgument => format!("{failed}: an argument of the call was invalid"),
        WriteCause::Other => failed,
    }
}

fn stray(reset: &StrayReset) -> String {
    let (local, remote) = (reset.endpoints.local, reset.endpoints.remote);
    match reset.cause {
        StrayCause::ClosedPort => {
            format!("nothing listens on {local}; the SYN from {remote} was answered with RST")
        }
        StrayCause::TimeWaitData => {
            format!("late data from {remote} hit a closed connection (TIME_WAIT); {local} answered with RST")
        }
        StrayCause::Embryonic => {
            format!(
                "a SYN from {remote} hit a handshake with {local} that was not complete; it was answered with RST"
            )
        }
        StrayCause::InvalidSegment => format!(
            "a segment from {remote} that does not belong to the handshake of {local} was answered with RST; the handshake goes on"
        ),
        StrayCause::Other if reset.state == Some(State::Listen) => format!(
            "{local} listens, but no connection from {remote} is known; its segment (no SYN) was answered with RST"
        ),
        StrayCause::Other if reset.state.is_none() => format!(
            "no connection from {remote} to {local} is known here; its segment (no SYN) was answered with RST"
        ),
        StrayCause::Other => format!("a segment from {remote} to {local} was answered with RST"),
    }
}

/// `nginx[812]`.
fn who(process: Option<&Task>) -> String {
    process.map_or_else(
        || "a process that was not seen".to_owned(),
        |task| format!("{}[{}]", task.comm, task.pid),
    )
}

/// `1 record`, `2 records`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(crate) fn bytes(count: impl Into<u64>) -> String {
    counted(count.into(), "byte", "bytes")
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
