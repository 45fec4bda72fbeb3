//! Measures the time of each step from a record to a query's answer: `cargo bench -p observer`.
//!
//! The events are a recording of connections that ended by FIN, by RST and with failing writes.

// Criterion's macros generate items without docs.
#![allow(missing_docs, reason = "criterion_group! makes public functions")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use observer::{
    classify::classify,
    event::decode,
    filter::Filter,
    history::{
        Selection, StorySelector,
        pack::{PackedReport, ReportKind},
        top::By,
    },
    story::table::{self, StoryTable},
};

use self::material::{act, history, many, metrics, reports, stories};

mod material;

fn understanding(c: &mut Criterion) {
    let mut group = c.benchmark_group("understanding");
    let (bytes, names) = (act(), decode::KernelNames::default());
    group.bench_function("decode a state change", |b| b.iter(|| decode::decode(black_box(&bytes), &names)));

    let events = many(100);
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("story table, events", |b| {
        b.iter(|| {
            let mut table = StoryTable::new(table::TableLimits::default());
            let mut told = 0;
            for event in &events {
                table.expire(event.ns, &mut |_| told += 1);
                table.apply(event, &mut |_| told += 1);
            }
            told
        });
    });

    let stories = stories();
    group.throughput(Throughput::Elements(stories.len() as u64));
    group.bench_function("classify", |b| {
        b.iter(|| stories.iter().for_each(|story| drop(black_box(classify(story)))));
    });
    group.finish();
}

fn telling(c: &mut Criterion) {
    let mut group = c.benchmark_group("telling");
    let reports = reports();
    group.throughput(Throughput::Elements(reports.len() as u64));
    let mut metrics = metrics();
    group.bench_function("metrics", |b| b.iter(|| reports.iter().for_each(|report| metrics.report(report))));
    group.bench_function("history, packing", |b| {
        b.iter(|| reports.iter().for_each(|report| drop(black_box(PackedReport::of(report)))));
    });
    group.finish();

    let mut history = history();
    let mut group = c.benchmark_group("query");
    group.sample_size(20);
    let by_name =
        Selection { filter: Filter { comm: Some("absent".into()), ..Filter::default() }, since_ns: 0 };
    group.bench_function("the newest 20", |b| {
        b.iter_batched(
            Selection::default,
            |wanted| history.newest(ReportKind::Close, &wanted, 20),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("a name that none of 100,000 has", |b| {
        b.iter(|| history.newest(ReportKind::Close, &by_name, 20));
    });
    let everything = Selection::default();
    group.bench_function("top 20 causes of 100,000", |b| b.iter(|| history.top(By::Cause, &everything, 20)));
    let absent = StorySelector::Id("absent".to_owned());
    group.bench_function("an id that none of 100,000 has", |b| b.iter(|| history.story(&absent)));
    group.finish();
}

criterion_group!(pieces, understanding, telling);
criterion_main!(pieces);
