//! HistoryLimits, packing and questions, over made-up connections.

use std::time::Instant;

use super::{top::By, *};
use crate::{
    classify::{WriteCause, WriteVerdict, classify, verdict::Left},
    event::{Comm, State},
    story::tests::{Script, task},
    words::Side,
};

fn verdict() -> Verdict {
    let script = Script::opened().packet_to(State::CloseWait).wait(1).close_to(State::LastAck);
    let mut story = script.orphan_to(State::Close).story();
    story.write_errors.insert(32, 2);
    // What is for the audit alone is not remembered.
    Verdict { left: Left::default(), ..classify(&story) }
}

fn close(number: u16, comm: &str) -> Report {
    let verdict = verdict();
    let ends = Endpoints { local: ([10, 0, 0, 1], number).into(), ..verdict.endpoints };
    Report::Close(Box::new(Verdict {
        id: format!("{number:x}-0001"),
        ns: u64::from(number) * 1_000_000_000,
        endpoints: ends,
        process: Some(task(comm)),
        ..verdict
    }))
}

fn failure(number: u16, close_id: Option<&str>) -> Report {
    Report::WriteError(WriteFailure {
        ns: u64::from(number) * 1_000_000_000,
        close_id: close_id.map(ToOwned::to_owned),
        endpoints: verdict().endpoints,
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

fn record(report: &Report) -> PackedReport {
    PackedReport::of(report).expect("a kind that is remembered")
}

fn history(limits: HistoryLimits, reports: &[Report]) -> History {
    let mut history = History::new(limits, Cgroups::none());
    for report in reports {
        history.note(record(report));
    }
    history
}

fn closes(number: u16) -> Vec<Report> {
    (1..=number).map(|number| close(number, "nginx")).collect()
}

fn ids(records: &[PackedReport]) -> Vec<String> {
    records.iter().filter_map(PackedReport::verdict).map(|verdict| verdict.id).collect()
}

#[test]
fn what_is_packed_comes_out_as_it_was() {
    for report in [close(1, "nginx"), failure(2, Some("1-0001")), failure(3, None)] {
        assert_eq!(record(&report).report(), Some(report));
    }
}

#[test]
fn the_head_is_the_beginning_of_the_whole() {
    let Report::Close(verdict) = close(1, "nginx") else { panic!("a close") };
    let record = record(&Report::Close(verdict.clone()));
    let head = record.head().expect("a head");
    assert_eq!(
        (head.id, head.ns, head.endpoints, head.process),
        (verdict.id.as_str(), verdict.ns, verdict.endpoints, verdict.process)
    );
    assert_eq!(
        (head.outcome, head.cause, head.bytes, head.write_errors, head.opened_by),
        (verdict.outcome, verdict.cause, verdict.bytes, verdict.write_errors, verdict.opened_by)
    );
}

#[test]
fn the_number_is_bounded_for_each_kind() {
    let limits = HistoryLimits { closes: 3, errors: 1, ..HistoryLimits::default() };
    let mut reports = closes(5);
    reports.extend([failure(6, None), failure(7, None)]);
    let mut history = history(limits, &reports);
    let fill = history.fill();
    assert_eq!((fill.closes, fill.errors, fill.pushed_out.count), (3, 1, 3));
    assert_eq!(fill.oldest_ns, Some(3_000_000_000));
    let (found, more) = history.newest(ReportKind::Close, &Selection::default(), 10);
    assert_eq!((ids(&found), more), (["3-0001", "4-0001", "5-0001"].map(ToOwned::to_owned).to_vec(), false));
}

#[test]
fn the_size_is_bounded_and_the_oldest_goes_first() {
    let room = record(&close(1, "nginx")).bytes() * 3 + 60;
    let limits = HistoryLimits { bytes: room, ..HistoryLimits::default() };
    let mut reports = vec![failure(1, None)];
    reports.extend(closes(6).into_iter().skip(1));
    let fill = history(limits, &reports).fill();
    assert!(fill.bytes <= room, "{fill:?}");
    assert_eq!((fill.closes, fill.errors, fill.pushed_out.bytes), (3, 0, 3), "{fill:?}");
    assert_eq!(fill.pushed_out.count, 0);
}

#[test]
fn the_age_is_bounded() {
    let limits = HistoryLimits { age: Duration::from_secs(2), ..HistoryLimits::default() };
    let mut history = history(limits, &closes(5));
    history.expire(1_000_000_000);
    assert_eq!(history.fill().closes, 5);
    history.expire(5_500_000_000);
    let fill = history.fill();
    assert_eq!((fill.closes, fill.pushed_out.age, fill.bytes > 0), (2, 3, true));
    history.expire(u64::MAX);
    assert_eq!((history.fill().closes, history.fill().bytes), (0, 0));
}

#[test]
fn other_limits_hold_at_once_but_for_the_age() {
    let mut history = history(HistoryLimits::default(), &closes(5));
    history.set_limits(HistoryLimits { closes: 2, age: Duration::from_secs(1), ..HistoryLimits::default() });
    assert_eq!((history.fill().closes, history.fill().pushed_out.count), (2, 3));
    history.expire(5_500_000_000);
    assert_eq!((history.fill().closes, history.fill().pushed_out.age), (1, 1));
    history.set_limits(HistoryLimits { bytes: 0, ..HistoryLimits::default() });
    assert_eq!((history.fill().closes, history.fill().bytes, history.fill().pushed_out.bytes), (0, 0, 1));
}

#[test]
fn the_newest_that_fit_are_found() {
    let mut reports = closes(4);
    reports.insert(2, close(9, "curl"));
    let mut history = history(HistoryLimits::default(), &reports);
    let mut find = |filter: Filter, since_ns, limit| {
        let (found, more) = history.newest(ReportKind::Close, &Selection { filter, since_ns }, limit);
        (ids(&found).join(" "), more)
    };
    let nginx = || Filter { comm: Some(Comm::from("nginx")), ..Filter::default() };
    assert_eq!(find(nginx(), 0, 2), ("3-0001 4-0001".to_owned(), true));
    assert_eq!(find(nginx(), 3_000_000_000, 5), ("3-0001 4-0001".to_owned(), false));
    let port = Filter { port: Some(9), ..Filter::default() };
    assert_eq!(find(port, 0, 5), ("9-0001".to_owned(), false));
    let errno = Filter { errno: Some("EPIPE".to_owned()), ..Filter::default() };
    assert_eq!(find(errno, 0, 1), ("4-0001".to_owned(), true));
    assert_eq!(find(Filter { pid: Some(1), ..Filter::default() }, 0, 5), (String::new(), false));
}

#[test]
fn a_story_has_its_failing_writes_and_its_other_end() {
    let Report::Close(ours) = close(7, "client") else { panic!("a close") };
    let Endpoints { local, remote, netns } = ours.endpoints;
    let mirrored = |id: &str, duration_ns: u64, ns: u64| {
        let endpoints = Endpoints { local: remote, remote: local, netns };
        let duration_ns = Some(duration_ns);
        Report::Close(Box::new(Verdict { id: id.to_owned(), ns, duration_ns, endpoints, ..verdict() }))
    };
    // One of the same ports an hour before, and the other end, which was held open for two hours longer.
    let hour = 3_600_000_000_000;
    let ours_opened = hour * 2;
    let ours = Report::Close(Box::new(Verdict { ns: ours_opened + 9, duration_ns: Some(9), ..*ours }));
    let reports = [
        mirrored("b-0001", 9, hour),
        ours,
        failure(8, Some("7-0001")),
        failure(9, Some("8-0001")),
        mirrored("c-0001", hour * 2, ours_opened + hour * 2 + 5),
    ];
    let history = history(HistoryLimits::default(), &reports);
    let found = history.story(&Which::Id("7-0001".to_owned())).expect("the story");
    assert_eq!((found.story.verdict.id.as_str(), found.story.errors.len()), ("7-0001", 1));
    assert_eq!(found.peer.expect("its other end").verdict.id, "c-0001");

    let ends = |text: &[&str]| Which::Ends(text.iter().map(|end| end.parse().expect("an end")).collect());
    let id = |which: &Which| history.story(which).map(|found| found.story.verdict.id);
    assert_eq!(id(&ends(&["10.0.0.1:7"])).as_deref(), Some("7-0001"), "the end that is named is ours");
    assert_eq!(id(&ends(&["10.0.0.1:7", ":2000"])).as_deref(), Some("7-0001"));
    assert_eq!(id(&ends(&[":2000", "10.0.0.1:7"])).as_deref(), Some("c-0001"));
    assert_eq!(id(&ends(&[":4"])), None);
    assert_eq!(id(&Which::Id("1-0001".to_owned())), None);
}

#[test]
fn groups_are_counted() {
    let mut reports = closes(3);
    reports.extend([close(4, "curl"), failure(5, None)]);
    let mut history = history(HistoryLimits::default(), &reports);
    let mut keys = |by| {
        let rows = history.top(by, &Selection::default(), 9).rows;
        let row = |row: &top::Group| format!("{} {} {}", row.key, row.closes, row.write_errors);
        rows.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(keys(By::Owner), ["nginx 3 0", "curl 1 0", "writer 0 1"]);
    assert_eq!(keys(By::Cause), ["graceful/orderly 4 0", "write_error/peer_reset 0 1"]);
    assert_eq!(keys(By::Outcome), ["graceful 4 0", "write_error 0 1"]);
    assert_eq!(keys(By::Local), ["10.0.0.1 4 0", "127.0.0.1 0 1"]);
    // The port that was connected to: all of them are ours to connect.
    assert_eq!(keys(By::Port), ["2000 4 1"]);
    assert_eq!(keys(By::Unit), ["- 4 1"]);
    let top = history.top(By::Owner, &Selection::default(), 1);
    assert_eq!((top.closes, top.write_errors, top.groups, top.rows.len()), (4, 1, 3, 1));
    assert_eq!(top.rows[0].key, "nginx");
}

/// Not a test of time, which depends on the machine: `cargo test --release -p observer --lib measure -- --ignored
/// --nocapture` shows what it is here.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let number: u32 = 100_000;
    let reports: Vec<_> = (0..number)
        .map(|number| {
            let Report::Close(mut verdict) = close(1, ["nginx", "curl", "python3"][number as usize % 3])
            else {
                panic!("a close")
            };
            verdict.id = format!("{:x}-0001", u64::from(number) << 20);
            verdict.ns = u64::from(number) * 1_000_000;
            verdict.endpoints.remote = (std::net::Ipv4Addr::from_bits((10 << 24) + number), 40_000).into();
            Report::Close(verdict)
        })
        .collect();
    let timed = |what: &str, work: &mut dyn FnMut() -> usize| {
        let begin = Instant::now();
        let result = work();
        println!("{what}: {:?} ({result})", begin.elapsed());
    };
    let mut records = Vec::new();
    timed("packing all", &mut || {
        records = reports.iter().filter_map(PackedReport::of).collect();
        records.len()
    });
    let mut history = History::new(HistoryLimits::default(), Cgroups::none());
    timed("noting all", &mut || {
        records.drain(..).for_each(|record| history.note(record));
        history.fill().closes
    });
    println!("bytes each: {}", history.fill().bytes / history.fill().closes);
    let rare = || Filter { comm: Some(Comm::from("nobody")), ..Filter::default() };
    let unit = || Filter { unit: Some("nginx.service".to_owned()), ..Filter::default() };
    let wanted = |filter| Selection { filter, since_ns: 0 };
    timed("newest 100", &mut || history.newest(ReportKind::Close, &wanted(Filter::default()), 100).0.len());
    timed("all of them", &mut || {
        history.newest(ReportKind::Close, &wanted(Filter::default()), usize::MAX).0.len()
    });
    timed("a filter that nothing fits", &mut || {
        history.newest(ReportKind::Close, &wanted(rare()), 100).0.len()
    });
    timed("a unit", &mut || history.newest(ReportKind::Close, &wanted(unit()), 100).0.len());
    timed("top by cause", &mut || history.top(By::Cause, &wanted(Filter::default()), 20).groups);
    timed("top by owner", &mut || history.top(By::Owner, &wanted(Filter::default()), 20).groups);
    timed("top by remote, each its own", &mut || {
        history.top(By::Remote, &wanted(Filter::default()), 20).groups
    });
    timed("the oldest story by id", &mut || {
        usize::from(history.story(&Which::Id("0-0001".to_owned())).is_some())
    });
}

/// That closed first, at that second, half a second after its FIN.
fn closed_first(number: u16, second: u64, comm: &str) -> Report {
    let Report::Close(mut verdict) = close(number, comm) else { panic!("a close") };
    verdict.ns = second * 1_000_000_000;
    verdict.cause = Cause::ClosedFirst;
    verdict.fin = Some(crate::classify::verdict::FinProgress {
        sent: Some(true),
        at_once: true,
        acked_ns: None,
        queued_ns: 500_000_000,
    });
    Report::Close(verdict)
}

#[test]
fn what_closed_first_is_known_by_its_newest_fin() {
    let reports = [
        closed_first(1, 10, "early"),
        closed_first(2, 20, "old"),
        close(3, "orderly"),
        closed_first(4, 30, "other"),
        closed_first(2, 40, "new"),
    ];
    let mut history = history(HistoryLimits::default(), &[]);
    for report in &reports {
        history.note(record(report));
    }
    let ends = |number: u16| Endpoints { local: ([10, 0, 0, 1], number).into(), ..verdict().endpoints };
    let found = |since_ns, number: Option<u16>| {
        let fins = history.fins(since_ns, |found| number.is_none_or(|number| *found == ends(number)));
        let mut fins: Vec<_> = fins.into_iter().collect();
        fins.sort_by_key(|(endpoints, _)| endpoints.local.port());
        fins.into_iter()
            .map(|(endpoints, fin)| {
                assert_eq!((fin.side, fin.closed), (Side::Local, true));
                (endpoints.local.port(), fin.ns / 100_000_000, fin.process.map(|task| task.comm.to_string()))
            })
            .collect::<Vec<_>>()
    };
    let new = (2, 395, Some("new".to_owned()));
    assert_eq!(found(0, Some(2)), std::slice::from_ref(&new));
    assert_eq!(found(0, Some(3)), []);
    // StoryWithErrors in another order than they ended, as happens; the first that is too old ends the look.
    assert_eq!(found(25_000_000_000, None), [new, (4, 295, Some("other".to_owned()))]);
}
