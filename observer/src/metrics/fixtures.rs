//! Metrics and verdicts for tests.

use std::collections::BTreeMap;

use prometheus::TextEncoder;

use super::Metrics;
use crate::{
    classify::{
        Cause, Evidence, Outcome,
        verdict::{Bytes, FirstClose, HalfClosedTimes, Head, Left, Verdict},
    },
    event::{Comm, Endpoints, Task},
    owner::OwnerBy,
    report::Report,
};

pub(super) const REASONS: [&str; 2] = ["ring_full", "undecodable"];

pub(super) fn metrics() -> Metrics {
    Metrics::new(OwnerBy::Comm, 100, &REASONS).unwrap()
}

/// The text of a scrape.
pub(super) fn text(metrics: &Metrics) -> String {
    TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap()
}

/// The series of a family that are not zero, without its name.
pub(super) fn counted(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = text(metrics);
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|line| !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

pub(super) fn task(comm: &str) -> Task {
    let comm = Comm::from(comm);
    Task { pid: 7, tid: 7, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 }
}

pub(super) fn endpoints() -> Endpoints {
    let (local, remote) = ("192.0.2.1:51820".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    Endpoints { local, remote, netns: 4_026_531_840 }
}

pub(super) fn verdict(comm: &str, outcome: Outcome, cause: Cause) -> Verdict {
    Verdict {
        head: Head {
            id: "1-0001".to_owned(),
            ns: 1,
            endpoints: endpoints(),
            process: Some(task(comm)),
            outcome,
            cause,
            bytes: Bytes::default(),
            write_errors: BTreeMap::new(),
            opened_by: None,
        },
        inode: 0,
        first_close: FirstClose::Local,
        local_action: None,
        action_known: true,
        fin: None,
        last_action: None,
        opener: None,
        error: 0,
        linger: None,
        half_closed: HalfClosedTimes::default(),
        reset: None,
        duration_ns: None,
        evidence: Evidence::Exact,
        missing: Vec::new(),
        steps: Vec::new(),
        left: Left::default(),
    }
}

/// Reports a close.
pub(super) fn close(metrics: &mut Metrics, verdict: Verdict) {
    metrics.report(&Report::Close(Box::new(verdict)));
}
