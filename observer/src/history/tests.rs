//! Packing, limits, and queries for reports and FINs.

use std::time::Duration;

use super::{
    fixtures::{close, closes, failure, history, packed, verdict},
    *,
};
use crate::{classify::verdict::FinProgress, event::Comm, report::Report, words::Side};

fn ids(reports: &[PackedReport]) -> Vec<String> {
    reports.iter().filter_map(PackedReport::verdict).map(|verdict| verdict.head.id).collect()
}

#[test]
fn the_number_of_each_kind_is_bounded() {
    let limits = HistoryLimits { closes: 3, errors: 1, ..HistoryLimits::default() };
    let mut reports = closes(5);
    reports.extend([failure(6, None), failure(7, None)]);
    let mut history = history(limits, &reports);
    let usage = history.usage();
    assert_eq!((usage.closes, usage.errors, usage.pushed_out.count), (3, 1, 3));
    assert_eq!(usage.oldest_ns, Some(3_000_000_000));
    let (found, more) = history.newest(ReportKind::Close, &Selection::default(), 10);
    assert_eq!((ids(&found), more), (["3-0001", "4-0001", "5-0001"].map(ToOwned::to_owned).to_vec(), false));
}

#[test]
fn the_memory_is_bounded_and_the_oldest_are_dropped_first() {
    let room = packed(&close(1, "nginx")).bytes() * 3 + 60;
    let limits = HistoryLimits { bytes: room, ..HistoryLimits::default() };
    let mut reports = vec![failure(1, None)];
    reports.extend(closes(6).into_iter().skip(1));
    let usage = history(limits, &reports).usage();
    assert!(usage.bytes <= room, "{usage:?}");
    assert_eq!((usage.closes, usage.errors, usage.pushed_out.bytes), (3, 0, 3), "{usage:?}");
    assert_eq!(usage.pushed_out.count, 0);
}

#[test]
fn the_age_is_bounded() {
    let limits = HistoryLimits { age: Duration::from_secs(2), ..HistoryLimits::default() };
    let mut history = history(limits, &closes(5));
    history.expire(1_000_000_000);
    assert_eq!(history.usage().closes, 5);
    history.expire(5_500_000_000);
    let usage = history.usage();
    assert_eq!((usage.closes, usage.pushed_out.age, usage.bytes > 0), (2, 3, true));
    history.expire(u64::MAX);
    assert_eq!((history.usage().closes, history.usage().bytes), (0, 0));
}

#[test]
fn new_limits_apply_at_once_except_for_the_age() {
    let mut history = history(HistoryLimits::default(), &closes(5));
    history.set_limits(HistoryLimits { closes: 2, age: Duration::from_secs(1), ..HistoryLimits::default() });
    assert_eq!((history.usage().closes, history.usage().pushed_out.count), (2, 3));
    history.expire(5_500_000_000);
    assert_eq!((history.usage().closes, history.usage().pushed_out.age), (1, 1));
    history.set_limits(HistoryLimits { bytes: 0, ..HistoryLimits::default() });
    assert_eq!((history.usage().closes, history.usage().bytes, history.usage().pushed_out.bytes), (0, 0, 1));
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

/// A `closed_first` connection that ended at this second, half a second after its FIN.
fn closed_first(number: u16, second: u64, comm: &str) -> Report {
    let Report::Close(mut verdict) = close(number, comm) else { panic!("a close") };
    verdict.head.ns = second * 1_000_000_000;
    verdict.head.cause = Cause::ClosedFirst;
    verdict.fin =
        Some(FinProgress { sent: Some(true), at_once: true, acked_ns: None, queued_ns: 500_000_000 });
    Report::Close(verdict)
}

#[test]
fn the_newest_fin_of_a_closed_first_connection_is_found() {
    let reports = [
        closed_first(1, 10, "early"),
        closed_first(2, 20, "old"),
        close(3, "orderly"),
        closed_first(4, 30, "other"),
        closed_first(2, 40, "new"),
    ];
    let history = history(HistoryLimits::default(), &reports);
    let ends = |number: u16| Endpoints { local: ([10, 0, 0, 1], number).into(), ..verdict().head.endpoints };
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
    // Reports may come in another order than that of time. The search ends at the first that is too old.
    assert_eq!(found(25_000_000_000, None), [new, (4, 295, Some("other".to_owned()))]);
}

#[test]
fn a_report_is_the_same_after_unpacking() {
    for report in [close(1, "nginx"), failure(2, Some("1-0001")), failure(3, None)] {
        assert_eq!(packed(&report).report(), Some(report));
    }
}

#[test]
fn the_head_has_the_first_fields_of_the_verdict() {
    let Report::Close(verdict) = close(1, "nginx") else { panic!("a close") };
    let packed = packed(&Report::Close(verdict.clone()));
    let head = packed.head().expect("a head");
    assert_eq!(
        (head.id, head.ns, head.endpoints, head.process),
        (verdict.head.id.as_str(), verdict.head.ns, verdict.head.endpoints, verdict.head.process)
    );
    assert_eq!(
        (head.outcome, head.cause, head.bytes, head.write_errors, head.opened_by),
        (
            verdict.head.outcome,
            verdict.head.cause,
            verdict.head.bytes,
            verdict.head.write_errors,
            verdict.head.opened_by
        )
    );
}
