//! The table of counters, for a verdict of each outcome and cause. `tests/kernel` compares the table with real kernels.

use super::*;
use crate::{
    classify::{
        StrayCause, classify,
        verdict::{Head, Left},
    },
    event::Endpoints,
    report::StrayReset,
    story::tests::Script,
};

const ALL_STATES: [State; 7] = [
    State::Established,
    State::CloseWait,
    State::FinWait1,
    State::FinWait2,
    State::LastAck,
    State::SynSent,
    State::SynRecv,
];

fn close(outcome: Outcome, cause: Cause, state: State) -> Verdict {
    let story = Script::opened().close_to(State::FinWait1).orphan_to(State::Close).story();
    let left = Left { state: Some(state), answered: false, closed: false, fastopen: false };
    let found = classify(&story);
    Verdict { head: Head { outcome, cause, ..found.head.clone() }, left, ..found }
}

fn moved(verdict: Verdict) -> String {
    let report = Report::Close(Box::new(verdict));
    let Some((netns, ns, moved)) = expected(&report) else { return String::new() };
    assert_eq!((netns, ns), (7, report_ns(&report)));
    let words = moved.iter().filter(|(_, by)| *by != 0);
    let words: Vec<_> = words
        .map(|(counter, by)| {
            assert_eq!(by, 1, "{}", counter.word());
            counter.word()
        })
        .collect();
    words.join(" ")
}

fn report_ns(report: &Report) -> u64 {
    let Report::Close(verdict) = report else { panic!("not a close") };
    verdict.head.ns
}

#[test]
fn each_cause_moves_its_counters() {
    use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent};
    for (outcome, cause, state, counters) in [
        (Outcome::Graceful, Cause::Orderly, LastAck, ""),
        (Outcome::Graceful, Cause::ClosedFirst, FinWait2, ""),
        (Outcome::ResetSent, Cause::UnreadData, Established, "OutRsts EstabResets TCPAbortOnClose"),
        (Outcome::ResetSent, Cause::UnreadData, FinWait2, "OutRsts TCPAbortOnClose"),
        (Outcome::ResetSent, Cause::LingerZero, CloseWait, "OutRsts EstabResets TCPAbortOnData"),
        (Outcome::Aborted, Cause::LingerZero, Closing, "TCPAbortOnData"),
        (Outcome::ResetSent, Cause::Linger2Negative, FinWait2, "OutRsts TCPAbortOnLinger"),
        (Outcome::ResetSent, Cause::DataAfterClose, FinWait2, "OutRsts TCPAbortOnData"),
        (Outcome::ResetSent, Cause::Disconnect, Established, "OutRsts EstabResets"),
        (Outcome::Aborted, Cause::Disconnect, LastAck, ""),
        (Outcome::ResetSent, Cause::NeverAccepted, Established, "OutRsts EstabResets"),
        (Outcome::ResetSent, Cause::NeverAccepted, SynRecv, "OutRsts"),
        (Outcome::ResetSent, Cause::SocketDestroyed, CloseWait, "OutRsts EstabResets"),
        (Outcome::Aborted, Cause::SocketDestroyed, SynSent, "AttemptFails"),
        (Outcome::ResetSent, Cause::OrphanLimit, FinWait1, "OutRsts TCPAbortOnMemory"),
        (Outcome::ResetSent, Cause::FinWait2Timeout, FinWait2, "OutRsts"),
        (Outcome::ResetSent, Cause::Unknown, Established, "OutRsts EstabResets"),
        (Outcome::ResetReceived, Cause::PeerReset, Established, "EstabResets"),
        (Outcome::ResetReceived, Cause::ResetAfterPeerFin, LastAck, ""),
        (Outcome::ResetReceived, Cause::PeerReset, SynRecv, "AttemptFails"),
        (Outcome::TimedOut, Cause::RetransmitTimeout, Established, "EstabResets TCPAbortOnTimeout"),
        (Outcome::TimedOut, Cause::RetransmitTimeout, FinWait1, "TCPAbortOnTimeout"),
        (Outcome::TimedOut, Cause::KeepaliveTimeout, Established, "OutRsts EstabResets TCPAbortOnTimeout"),
        (Outcome::TimedOut, Cause::ConnectTimeout, SynSent, "AttemptFails TCPAbortOnTimeout"),
        (Outcome::Refused, Cause::Refused, SynSent, "AttemptFails"),
        (Outcome::Refused, Cause::IcmpError, SynSent, "AttemptFails"),
        (Outcome::Aborted, Cause::ConnectAbandoned, SynSent, ""),
        (Outcome::Aborted, Cause::Repair, Established, "EstabResets"),
        (Outcome::Aborted, Cause::NetnsGone, FinWait1, ""),
        (Outcome::Unknown, Cause::Unknown, Established, "EstabResets"),
    ] {
        assert_eq!(moved(close(outcome, cause, state)), counters, "{outcome:?} {cause:?} {state:?}");
    }
}

#[test]
fn details_beyond_outcome_and_cause_change_the_counters() {
    let answered = Left { state: Some(State::FinWait2), answered: true, closed: false, fastopen: false };
    let linger2 = close(Outcome::ResetSent, Cause::Linger2Negative, State::FinWait2);
    assert_eq!(moved(Verdict { left: answered, ..linger2 }), "OutRsts TCPAbortOnData");
    let abandoned = close(Outcome::Aborted, Cause::ConnectAbandoned, State::SynSent);
    let mut linger = abandoned.linger.expect("it was closed");
    linger.mode = LingerMode::Zero;
    assert_eq!(moved(Verdict { linger: Some(linger), ..abandoned }), "TCPAbortOnData");
    // The process got the ICMP error from a call, and then closed the socket in SYN_SENT.
    let closed = Left { state: Some(State::SynSent), answered: false, closed: true, fastopen: false };
    let refused = close(Outcome::Refused, Cause::IcmpError, State::SynSent);
    assert_eq!(moved(Verdict { left: closed, ..refused }), "");
    let child = Left { state: Some(State::SynRecv), answered: false, closed: false, fastopen: true };
    let reset = close(Outcome::ResetReceived, Cause::PeerReset, State::SynRecv);
    let (.., twice) = expected(&Report::Close(Box::new(Verdict { left: child, ..reset }))).expect("a report");
    assert_eq!(twice, Counters::moved(&[Counter::AttemptFails, Counter::AttemptFails]));
    // An unseen end leaves no state.
    let unseen =
        Verdict { left: Left::default(), ..close(Outcome::Unknown, Cause::Unknown, State::CloseWait) };
    assert_eq!(moved(unseen), "");
}

/// Every pair of outcome and cause has its line, and none counts two resets.
#[test]
fn every_outcome_and_cause_is_in_the_table() {
    for cause in Cause::ALL {
        for outcome in cause.outcomes() {
            for state in ALL_STATES {
                let moved = moved(close(*outcome, *cause, state));
                let resets = *outcome == Outcome::ResetSent || *cause == Cause::KeepaliveTimeout;
                assert_eq!(moved.contains("OutRsts"), resets, "{outcome:?} {cause:?}");
                assert!(moved.matches("TCPAbort").count() <= 1, "{outcome:?} {cause:?}: {moved}");
            }
        }
    }
}

#[test]
fn a_stray_reset_moves_out_rsts() {
    let endpoints = Endpoints { netns: 9, ..Endpoints::UNKNOWN };
    let reset =
        StrayReset { ns: 5, endpoints, cause: StrayCause::ClosedPort, state: None, kernel_reason: None };
    let moved = Counters::moved(&[Counter::OutRsts]);
    assert_eq!(expected(&Report::StrayReset(reset)), Some((9, 5, moved)));
}
