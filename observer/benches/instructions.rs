//! Counts the instructions of each step from a record to a query's answer. The count is the same on a busy machine and
//! on an idle one. `cargo xtask bench --instructions` runs it under valgrind's callgrind and compares it with the
//! limits here.
//!
//! The events are a recording of connections that ended by FIN, by RST and with failing writes. Each limit is the last
//! measured count plus a tenth. The limits hold for the pinned compiler on x86-64.

// The macros generate items without docs.
#![allow(missing_docs, clippy::must_use_candidate, reason = "the macros of gungraun make public items")]

use std::hint::black_box;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use observer::{
    classify::classify,
    event::{Event, decode},
    filter::Filter,
    history::{
        History, Selection,
        pack::{PackedReport, ReportKind},
    },
    metrics::Metrics,
    report::Report,
    story::{
        Story,
        table::{self, StoryTable},
    },
};

use self::material::{act, history, many, metrics, reports, stories};

mod material;

/// Sets the limit of instructions per run. The functions return their arguments, so that dropping them is not counted.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let limit = [(EventKind::Ir, instructions)];
    LibraryBenchmarkConfig::default().tool(Callgrind::default().hard_limits(limit)).clone()
}

#[library_benchmark(config = at_most(540))]
#[bench::act(act())]
fn decode_one(bytes: [u8; size_of::<material::Act>()]) {
    drop(black_box(decode::decode(black_box(&bytes), &decode::KernelNames::default())));
}

#[library_benchmark(config = at_most(7_700_000))]
#[bench::hundred_times(many(100))]
fn story_table(events: Vec<Event>) -> (u64, Vec<Event>) {
    let mut table = StoryTable::new(table::TableLimits::default());
    let mut told = 0;
    for event in &events {
        table.expire(event.ns, &mut |_| told += 1);
        table.apply(event, &mut |_| told += 1);
    }
    (told, events)
}

#[library_benchmark(config = at_most(51_000))]
#[bench::recorded(stories())]
fn classify_all(stories: Vec<Story>) -> Vec<Story> {
    for story in &stories {
        drop(black_box(classify(story)));
    }
    stories
}

#[library_benchmark(config = at_most(34_000))]
#[bench::recorded(reports(), metrics())]
fn count_all(reports: Vec<Report>, mut metrics: Metrics) -> (Vec<Report>, Metrics) {
    for report in &reports {
        metrics.report(report);
    }
    (reports, metrics)
}

#[library_benchmark(config = at_most(68_000))]
#[bench::recorded(reports())]
fn pack_all(reports: Vec<Report>) -> Vec<Report> {
    for report in &reports {
        drop(black_box(PackedReport::of(report)));
    }
    reports
}

#[library_benchmark(config = at_most(153_000_000))]
#[bench::a_name_that_none_has(history(), Selection { filter: Filter { comm: Some("absent".into()), ..Filter::default() }, since_ns: 0 })]
fn query(mut history: History, wanted: Selection) -> History {
    drop(black_box(history.newest(ReportKind::Close, &wanted, 20)));
    history
}

library_benchmark_group!(
    name = pieces;
    benchmarks = decode_one, story_table, classify_all, count_all, pack_all, query
);

main!(library_benchmark_groups = pieces);
