//! What each piece of the way from a record to an answer costs: `cargo bench -p observer`.
//!
//! The events are a recording of connections that ended by FIN, by RST and with failing writes.

// No docs for what criterion's macros make.
#![allow(missing_docs, reason = "criterion_group! makes public functions")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may stop at the first surprise")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use observer::{
    classify::classify,
    event::{Event, SockId, decode},
    filter::Filter,
    history::{
        History, Limits, Wanted,
        pack::{Kind, Record},
    },
    owner::Cgroups,
    pipeline::Pipeline,
    publish::metrics::{Metrics, OwnerBy},
    report::Report,
    source::recording::Recording,
    story::{
        Story,
        table::{self, StoryTable, Told},
    },
};
use observer_ebpf::abi::record::{self, kind};

fn recorded() -> Vec<Event> {
    let recording = Recording::open(include_bytes!("closes.jsonl").as_slice()).expect("a recording");
    recording.collect::<Result<_, _>>().expect("events")
}

/// The recording again and again, with other sockets and later.
fn many(times: u64) -> Vec<Event> {
    let events = recorded();
    let again = |n: u64| {
        events.iter().map(move |event| {
            let sock = SockId(event.sock.0 ^ n << 20);
            Event { ns: event.ns + n * 1_000_000_000, sock, ..event.clone() }
        })
    };
    (0..times).flat_map(again).collect()
}

fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    let mut table = StoryTable::new(table::Limits::default());
    let mut tell = |told: Told<'_>| {
        if let Told::Close(story) = told {
            stories.push(story.clone());
        }
    };
    for event in recorded() {
        table.apply(&event, &mut tell);
    }
    table.finish_all(&mut tell);
    stories
}

fn reports() -> Vec<Report> {
    let mut reports = Vec::new();
    let mut pipeline = Pipeline::new(table::Limits::default());
    let mut take = |report: &Report| reports.push(report.clone());
    for event in recorded() {
        pipeline.apply(&event, &mut take);
    }
    pipeline.finish(&mut take);
    reports
}

fn act() -> [u8; size_of::<record::Act>()] {
    // SAFETY: integers and arrays of them only.
    let mut made: record::Act = unsafe { std::mem::zeroed() };
    let change = &mut made.change;
    change.header.kind = kind::ACT;
    change.header.has_task = 1;
    change.socket.endpoints.family = record::AF_INET;
    (change.socket.state, change.old, change.new) = (1, 1, 4);
    // SAFETY: the same, and without padding, as abi::record asserts.
    unsafe { std::mem::transmute(made) }
}

fn understanding(c: &mut Criterion) {
    let mut group = c.benchmark_group("understanding");
    let (bytes, names) = (act(), decode::KernelNames::default());
    group.bench_function("decode a state change", |b| b.iter(|| decode::decode(black_box(&bytes), &names)));

    let events = many(100);
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("story table, events", |b| {
        b.iter(|| {
            let mut table = StoryTable::new(table::Limits::default());
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
    let mut metrics = Metrics::new(OwnerBy::Comm, 100, &[]).expect("metrics");
    group.bench_function("metrics", |b| b.iter(|| reports.iter().for_each(|report| metrics.report(report))));
    group.bench_function("history, packing", |b| {
        b.iter(|| reports.iter().for_each(|report| drop(black_box(Record::of(report)))));
    });
    group.finish();

    let records: Vec<_> = reports.iter().filter_map(Record::of).collect();
    let mut history = History::new(Limits::default(), Cgroups::none());
    for record in records.iter().cycle().take(100_000) {
        history.note(record.clone());
    }
    let mut group = c.benchmark_group("query");
    group.sample_size(20);
    let by_name = Wanted { filter: Filter { comm: Some("absent".into()), ..Filter::default() }, since_ns: 0 };
    group.bench_function("the newest 20", |b| {
        b.iter_batched(
            Wanted::default,
            |wanted| history.newest(Kind::Close, &wanted, 20),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("a name that none of 100,000 has", |b| {
        b.iter(|| history.newest(Kind::Close, &by_name, 20));
    });
    group.finish();
}

criterion_group!(pieces, understanding, telling);
criterion_main!(pieces);
