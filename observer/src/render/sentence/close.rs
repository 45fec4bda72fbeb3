//! A close → one sentence: which process did what, what the kernel or the peer did, and what was lost.

use super::{bytes, span, were, who};
use crate::{
    classify::verdict::{Cause, FirstClose, Verdict},
    event::Task,
    words::{LocalAction, errno},
};

pub(super) fn of(v: &Verdict) -> String {
    let who = who(v.head.process.as_ref());
    let remote = v.head.endpoints.remote;
    match v.head.cause {
        Cause::Orderly => orderly(v, &who),
        Cause::ClosedFirst => {
            format!("{who} {} first; the peer acknowledged the FIN{}", done(v), waited(v))
        }
        Cause::UnreadData => {
            format!("{}{}, so the kernel sent RST", aborted(v, &who), with_unread(v.head.bytes.unread))
        }
        Cause::LingerZero => {
            let sent = if v.reset.is_some() { "the kernel sent RST" } else { "nothing was sent" };
            format!("{} with SO_LINGER {{on, 0}}, so {sent}{}", aborted(v, &who), lost(v))
        }
        Cause::Linger2Negative => {
            format!(
                "{who} closed with TCP_LINGER2 below zero, so the kernel sent RST instead of waiting for the peer"
            )
        }
        Cause::DataAfterClose => {
            format!("{who} {}; data from the peer came afterwards, and the kernel answered with RST", done(v))
        }
        Cause::Disconnect => {
            let sent = if v.reset.is_some() { "the kernel sent RST" } else { "nothing was sent" };
            format!(
                "{who} disconnected the socket with connect(AF_UNSPEC), so {sent}{}{}",
                unread(v),
                lost(v)
            )
        }
        Cause::NeverAccepted => {
            let listener =
                v.head.process.map_or_else(|| "the listener".to_owned(), |task| super::who(Some(&task)));
            format!(
                "{listener} closed the listening socket before it accepted the connection, so the kernel sent RST{}",
                unread(v)
            )
        }
        Cause::SocketDestroyed => {
            let sent = if v.reset.is_some() { "the kernel sent RST" } else { "nothing was sent" };
            format!(
                "the socket of {who} was destroyed from outside (ss -K or the like), and {sent}{}",
                lost(v)
            )
        }
        Cause::OrphanLimit => {
            format!("the kernel had too many orphans or too little memory, and sent RST{}", lost(v))
        }
        Cause::FinWait2Timeout => {
            format!("{who} {}; the peer never did, and the kernel gave up with RST", done(v))
        }
        Cause::InvalidSegment => "an invalid segment from the peer made the kernel send RST".to_owned(),
        Cause::Mptcp => "MPTCP reset this subflow".to_owned(),
        Cause::PeerReset => format!("{}the peer sent RST to {who}{}", closing(v, &who), not_delivered(v)),
        Cause::WriteAfterPeerFin => write_after_peer_fin(v, &who),
        Cause::ResetAfterPeerFin => {
            format!(
                "{}the peer closed{} and then sent RST to {who}{}",
                closing(v, &who),
                before_end(v),
                not_delivered(v)
            )
        }
        Cause::RetransmitTimeout => format!(
            "{}the peer stopped acknowledging, and the kernel gave up the connection of {who}{}",
            closing(v, &who),
            not_delivered(v)
        ),
        Cause::KeepaliveTimeout => format!(
            "the peer stopped answering keepalive probes, and the kernel gave up the connection of {who}{}",
            not_delivered(v)
        ),
        Cause::ConnectTimeout => format!("{who} got no answer to its SYN from {remote}{}", with_error(v)),
        Cause::Refused => format!("{remote} answered the SYN of {who} with RST"),
        Cause::IcmpError => icmp(v, &who),
        Cause::ConnectAbandoned => {
            let done = v.local_action.map_or_else(|| "gave up".to_owned(), |_| done(v));
            format!("{who} {done} while it was still connecting to {remote}")
        }
        Cause::Repair => format!("{who} closed the socket in repair mode; nothing was sent to the peer"),
        Cause::NetnsGone => "its network namespace went away; nothing was sent to the peer".to_owned(),
        Cause::Unknown => {
            let missing: Vec<_> = v.missing.iter().map(|missing| missing.word()).collect();
            format!("cannot say how the connection of {who} ended; missing evidence: {}", missing.join(", "))
        }
    }
}

fn orderly(v: &Verdict, who: &str) -> String {
    let done = done(v);
    match v.first_close {
        FirstClose::Simultaneous => format!("both sides closed at the same time; {who} {done}"),
        FirstClose::Remote => match v.half_closed.remote_ns {
            Some(ns) => format!("the peer closed first; {who} {done} {} later{}", span(ns), waited(v)),
            None => format!("the peer closed first; {who} {done}{}", waited(v)),
        },
        FirstClose::Local | FirstClose::None | FirstClose::Unknown => match v.half_closed.local_ns {
            Some(ns) => format!("{who} {done}; the peer followed {} later{}", span(ns), waited(v)),
            None => format!("{who} {done}; the peer followed{}", waited(v)),
        },
    }
}

fn write_after_peer_fin(v: &Verdict, who: &str) -> String {
    let written = v.head.bytes.after_peer_fin.or_else(|| lost_bytes(v));
    let (what, those) = match written {
        Some(1) => (" 1 byte".to_owned(), "; that byte was lost"),
        Some(n @ 1..) => (format!(" {}", bytes(n)), "; those bytes were lost"),
        _ => (String::new(), ""),
    };
    let when =
        v.half_closed.remote_ns.map_or_else(String::new, |ns| format!(" ({} before the end)", span(ns)));
    format!("{who} wrote{what} after the peer had closed{when}; the peer answered with RST{those}")
}

fn icmp(v: &Verdict, who: &str) -> String {
    let Some(name) = errno::known(v.error) else {
        return format!("an ICMP error ended the handshake with {} for {who}", v.head.endpoints.remote);
    };
    if v.head.opened_by == Some(crate::words::Side::Remote) {
        return format!(
            "an ICMP error ({name}) ended the handshake with {} for {who}",
            v.head.endpoints.remote
        );
    }
    format!("an ICMP error refused the connection of {who} to {}: {name}", v.head.endpoints.remote)
}

/// The action of this side, as a verb in the past.
fn done(v: &Verdict) -> String {
    v.local_action.map_or_else(|| "closed".to_owned(), |action| verb(action, v.head.process.as_ref()))
}

/// The action that aborted, after an earlier one if there was any: `shut down its writing side; 500 ms later it
/// closed`.
fn aborted(v: &Verdict, who: &str) -> String {
    let Some(last) = v.last_action else { return format!("{who} {}", done(v)) };
    if v.local_action == Some(last) {
        return format!("{who} {}", verb(last, v.head.process.as_ref()));
    }
    let later = v.fin.map_or_else(String::new, |fin| format!("{} later ", span(fin.queued_ns)));
    format!("{who} {}; {later}it {}", done(v), verb(last, v.head.process.as_ref()))
}

fn verb(action: LocalAction, process: Option<&Task>) -> String {
    match action {
        LocalAction::Close => "closed".to_owned(),
        LocalAction::ShutdownRead => "shut down its reading side".to_owned(),
        LocalAction::ShutdownWrite => "shut down its writing side".to_owned(),
        LocalAction::ShutdownBoth => "shut down both directions".to_owned(),
        LocalAction::ProcessExit => "exited".to_owned(),
        // The named process need not be the one that was killed, and then has no signal.
        LocalAction::Killed => match process.map(|task| task.signal) {
            Some(signal @ 1..) => format!("was killed by signal {signal}"),
            Some(0) | None => "was killed by a signal".to_owned(),
        },
        LocalAction::Disconnect => "disconnected".to_owned(),
    }
}

/// The action of this side before the peer or a timer ended the connection. Empty unless its FIN was never sent.
fn closing(v: &Verdict, who: &str) -> String {
    let Some(fin) = v.fin.filter(|fin| fin.sent == Some(false)) else { return String::new() };
    let before = match lost_bytes(v) {
        Some(n @ 1..) if v.head.bytes.unacked == Some(0) => {
            format!(": {} before it {} never sent", bytes(n), were(n))
        }
        Some(n @ 1..) => format!(": {} before it {} not acknowledged", bytes(n), were(n)),
        _ => String::new(),
    };
    let ago = span(fin.queued_ns);
    format!("{who} {} {ago} before the end, but its FIN never left{before}; ", done(v))
}

/// How long the FIN of this side took. Empty if it was sent at once.
fn waited(v: &Verdict) -> String {
    let fin = v.fin.filter(|fin| !fin.at_once);
    fin.and_then(|fin| fin.acked_ns).map_or_else(String::new, |ns| {
        format!(" (its FIN waited in the send queue and was acknowledged after {})", span(ns))
    })
}

fn before_end(v: &Verdict) -> String {
    v.half_closed.remote_ns.map_or_else(String::new, |ns| format!(" {} before the end", span(ns)))
}

fn with_unread(unread: Option<u32>) -> String {
    unread.map_or_else(|| " with data unread".to_owned(), |unread| format!(" with {} unread", bytes(unread)))
}

fn with_error(v: &Verdict) -> String {
    errno::known(v.error)
        .filter(|name| *name != "ETIMEDOUT")
        .map_or_else(String::new, |name| format!("; the last ICMP error was {name}"))
}

fn unread(v: &Verdict) -> String {
    match v.head.bytes.unread {
        None | Some(0) => String::new(),
        Some(unread) => format!("; {} that it had received {} lost", bytes(unread), were(unread)),
    }
}

fn lost_bytes(v: &Verdict) -> Option<u32> {
    Some(v.head.bytes.unacked?.saturating_add(v.head.bytes.unsent?))
}

fn lost(v: &Verdict) -> String {
    match lost_bytes(v) {
        None | Some(0) => String::new(),
        Some(lost) => format!("; {} that it had written {} lost", bytes(lost), were(lost)),
    }
}

fn not_delivered(v: &Verdict) -> String {
    // `closing` has them already.
    if v.fin.is_some_and(|fin| fin.sent == Some(false)) {
        return String::new();
    }
    match (v.head.bytes.unacked.unwrap_or(0), v.head.bytes.unsent.unwrap_or(0)) {
        (0, 0) => String::new(),
        (unacked, 0) => format!("; {} {} sent and not acknowledged", bytes(unacked), were(unacked)),
        (0, unsent) => format!("; {} {} never sent", bytes(unsent), were(unsent)),
        (unacked, unsent) => {
            format!("; {} {} sent and not acknowledged, {unsent} never sent", bytes(unacked), were(unacked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_not_known_is_no_number() {
        assert_eq!(verb(LocalAction::Killed, None), "was killed by a signal");
        let task = crate::story::tests::task("worker");
        assert_eq!(verb(LocalAction::Killed, Some(&task)), "was killed by a signal");
        let killed = Task { signal: 9, ..task };
        assert_eq!(verb(LocalAction::Killed, Some(&killed)), "was killed by signal 9");
    }
}
