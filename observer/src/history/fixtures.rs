//! Reports and histories for tests.

use super::{History, HistoryLimits, pack::PackedReport};
use crate::{
    classify::{
        WriteCause, WriteVerdict, classify,
        verdict::{Head, Left, Verdict},
    },
    event::{Endpoints, State},
    owner::Cgroups,
    report::{Report, WriteFailure},
    story::tests::{Script, task},
    words::Side,
};

pub(super) fn verdict() -> Verdict {
    let script = Script::opened().packet_to(State::CloseWait).wait(1).close_to(State::LastAck);
    let mut story = script.orphan_to(State::Close).story();
    story.write_errors.insert(32, 2);
    // `left` is for the audit only, and is not packed.
    Verdict { left: Left::default(), ..classify(&story) }
}

/// The close of a connection from this port of 10.0.0.1, that many seconds after boot.
pub(super) fn close(number: u16, comm: &str) -> Report {
    let verdict = verdict();
    let ends = Endpoints { local: ([10, 0, 0, 1], number).into(), ..verdict.head.endpoints };
    let head = Head {
        id: format!("{number:x}-0001"),
        ns: u64::from(number) * 1_000_000_000,
        endpoints: ends,
        process: Some(task(comm)),
        ..verdict.head
    };
    Report::Close(Box::new(Verdict { head, ..verdict }))
}

/// A failing write that many seconds after boot.
pub(super) fn failure(number: u16, close_id: Option<&str>) -> Report {
    Report::WriteError(WriteFailure {
        ns: u64::from(number) * 1_000_000_000,
        close_id: close_id.map(ToOwned::to_owned),
        endpoints: verdict().head.endpoints,
        opened_by: Some(Side::Local),
        process: Some(task("writer")),
        errno: 32,
        sigpipe: true,
        verdict: WriteVerdict {
            cause: WriteCause::PeerReset,
            since_peer_fin_ns: None,
            since_reset_ns: Some(5),
        },
    })
}

pub(super) fn packed(report: &Report) -> PackedReport {
    PackedReport::of(report).expect("a kind that is remembered")
}

pub(super) fn history(limits: HistoryLimits, reports: &[Report]) -> History {
    let mut history = History::new(limits, Cgroups::none());
    for report in reports {
        history.note(packed(report));
    }
    history
}

/// One close per number, from 1.
pub(super) fn closes(number: u16) -> Vec<Report> {
    (1..=number).map(|number| close(number, "nginx")).collect()
}
