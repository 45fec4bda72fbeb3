//! What both benchmarks work on: events, stories and reports of a recording.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each benchmark uses its part, and may stop at the first surprise"
)]

use observer::{
    event::{Event, SockId},
    history::{History, HistoryLimits, pack::PackedReport},
    metrics::Metrics,
    owner::{Cgroups, OwnerBy},
    pipeline::Pipeline,
    report::Report,
    source::recording::Recording,
    story::{
        Story,
        table::{self, Emitted, StoryTable},
    },
};
pub(crate) use observer_ebpf::abi::record::Act;
use observer_ebpf::abi::record::{AF_INET, kind};

fn recorded() -> Vec<Event> {
    let recording = Recording::open(include_bytes!("closes.jsonl").as_slice()).expect("a recording");
    recording.collect::<Result<_, _>>().expect("events")
}

/// The recording again and again, with other sockets and later.
pub(crate) fn many(times: u64) -> Vec<Event> {
    let events = recorded();
    let again = |n: u64| {
        events.iter().map(move |event| {
            let sock = SockId(event.sock.0 ^ n << 20);
            Event { ns: event.ns + n * 1_000_000_000, sock, ..event.clone() }
        })
    };
    (0..times).flat_map(again).collect()
}

pub(crate) fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    let mut table = StoryTable::new(table::TableLimits::default());
    let mut tell = |told: Emitted<'_>| {
        if let Emitted::Close(story) = told {
            stories.push(story.clone());
        }
    };
    for event in recorded() {
        table.apply(&event, &mut tell);
    }
    table.finish_all(&mut tell);
    stories
}

pub(crate) fn reports() -> Vec<Report> {
    let mut reports = Vec::new();
    let mut pipeline = Pipeline::new(table::TableLimits::default());
    let mut take = |report: &Report| reports.push(report.clone());
    for event in recorded() {
        pipeline.apply(&event, &mut take);
    }
    pipeline.finish(&mut take);
    reports
}

pub(crate) fn act() -> [u8; size_of::<Act>()] {
    // SAFETY: integers and arrays of them only.
    let mut made: Act = unsafe { std::mem::zeroed() };
    let change = &mut made.change;
    change.header.kind = kind::ACT;
    change.header.has_task = 1;
    change.socket.endpoints.family = AF_INET;
    (change.socket.state, change.old, change.new) = (1, 1, 4);
    // SAFETY: the same, and without padding, as abi::record asserts.
    unsafe { std::mem::transmute(made) }
}

/// With every series that the reports have.
pub(crate) fn metrics() -> Metrics {
    let mut metrics = Metrics::new(OwnerBy::Comm, 100, &[]).expect("metrics");
    for report in &reports() {
        metrics.report(report);
    }
    metrics
}

/// Full.
pub(crate) fn history() -> History {
    let records: Vec<_> = reports().iter().filter_map(PackedReport::of).collect();
    let mut history = History::new(HistoryLimits::default(), Cgroups::none());
    for record in records.iter().cycle().take(100_000) {
        history.note(record.clone());
    }
    history
}
