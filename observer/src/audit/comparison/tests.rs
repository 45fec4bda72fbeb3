//! Synthetic samples and reports → differences, with namespaces that come and go.

use super::*;
use crate::audit::ledger::Reading;

const SECOND: u64 = 1_000_000_000;

fn resets(number: i64) -> Counters {
    (0..number).fold(Counters::default(), |sum, _| sum + Counters::moved(&[Counter::OutRsts]))
}

/// A sample at this second. Each namespace is (number, process id, resets that the kernel has counted).
fn sample(second: u64, namespaces: &[(u32, i32, i64)]) -> Sample {
    let start_ns = second * SECOND;
    let namespaces = namespaces.iter().map(|(netns, pid, counted)| NamespaceSample {
        netns: *netns,
        processes: vec![(*pid, 1)],
        reading: Reading { start_ns, end_ns: start_ns, counters: resets(*counted) },
    });
    Sample { namespaces: namespaces.collect(), ..Sample::default() }
}

/// Takes a sample and compares it once it is due, not earlier.
fn step(comparison: &mut Comparison, second: u64, namespaces: &[(u32, i32, i64)]) -> Vec<Compared> {
    let mut emitted = Vec::new();
    comparison.take(Ok(sample(second, namespaces)), &mut |_| ());
    assert!(!comparison.compare(second * SECOND + REPORTED_NS - 1, &mut |_| ()), "too early");
    assert!(comparison.compare(second * SECOND + REPORTED_NS, &mut |compared| emitted.push(*compared)));
    emitted
}

fn out_rsts(comparison: &Comparison) -> (u64, u64) {
    let summary = comparison.summary();
    let found = summary.counters.iter().find(|difference| difference.counter == "OutRsts").unwrap();
    (found.not_reported, found.not_counted)
}

#[test]
fn differences_of_two_namespaces_do_not_cancel() {
    let mut comparison = Comparison::new(Vec::new());
    step(&mut comparison, 1, &[(7, 70, 100), (8, 80, 5)]);
    comparison.note(7, 2 * SECOND - 100_000_000, resets(2));
    for second in 2..4 {
        // One more in 8 than was reported, and one less in 7.
        step(&mut comparison, second, &[(7, 70, 101), (8, 80, 6)]);
    }
    assert_eq!(out_rsts(&comparison), (1, 1));
    let summary = comparison.summary();
    assert!(!summary.agrees());
    let difference = |netns, by| Differing { netns, differences: vec![("OutRsts".to_owned(), by)] };
    assert_eq!(summary.differing, [difference(7, -1), difference(8, 1)]);
    assert_eq!(
        summary.text(),
        "OutRsts: kernel counted 1 more than reported in some namespaces, 1 less in others (2 namespaces)"
    );
    // A namespace that has ended takes its difference with it.
    step(&mut comparison, 4, &[(7, 70, 101)]);
    assert_eq!(out_rsts(&comparison), (0, 1));
    assert_eq!(comparison.ledgers.len(), 1);
}

#[test]
fn the_first_comparison_of_a_namespace_has_no_difference() {
    let mut comparison = Comparison::new(Vec::new());
    let mut emitted = Vec::new();
    comparison.take(Ok(sample(1, &[(7, 70, 9)])), &mut |compared| emitted.push(*compared));
    let first =
        Compared { netns: 7, ns: SECOND, since_ns: SECOND, difference: Counters::default(), is_new: true };
    assert_eq!(emitted, [first]);
    assert_eq!(comparison.summary().text(), "the kernel's counters are not compared yet");
    comparison.compare(9 * SECOND, &mut |_| panic!("emitted twice"));
    assert_eq!(comparison.summary().text(), "kernel counters agree (1 namespace)");
    assert_eq!(
        step(&mut comparison, 2, &[(7, 70, 9)]),
        [Compared { ns: 2 * SECOND, is_new: false, ..first }]
    );
    let differs = Compared { ns: 4 * SECOND, difference: resets(1), ..first };
    step(&mut comparison, 3, &[(7, 70, 10)]);
    assert_eq!(step(&mut comparison, 4, &[(7, 70, 10)]), [differs]);
}

/// The kernel reuses the number of a namespace that has ended.
#[test]
fn a_reused_number_is_another_namespace() {
    let mut comparison = Comparison::new(Vec::new());
    step(&mut comparison, 1, &[(7, 70, 0)]);
    comparison.note(7, 2 * SECOND - 500_000_000, resets(3));
    step(&mut comparison, 2, &[(7, 71, 1)]);
    for second in 3..5 {
        assert_eq!(step(&mut comparison, second, &[(7, 71, 1)])[0].difference, Counters::default());
    }
}

#[test]
fn reports_before_the_first_sample_is_taken_count() {
    let mut comparison = Comparison::new(Vec::new());
    comparison.note(7, 2 * SECOND, resets(1));
    comparison.take(Ok(sample(1, &[(7, 70, 40)])), &mut |_| ());
    comparison.compare(SECOND + REPORTED_NS, &mut |_| ());
    for second in 3..5 {
        assert_eq!(step(&mut comparison, second, &[(7, 70, 41)])[0].difference, Counters::default());
    }
}

#[test]
fn namespaces_are_bounded_and_a_dropped_report_delays_the_comparison() {
    let mut comparison = Comparison::new(Vec::new());
    let many: Vec<_> = (1..=1024).map(|netns| (netns, 70, 0)).collect();
    step(&mut comparison, 1, &many);
    comparison.note(5000, 3 * SECOND, resets(1));
    assert_eq!(comparison.ledgers.len(), MAX_NAMESPACES);
    // There is room now, but a report after this sample was dropped.
    step(&mut comparison, 2, &[(5000, 70, 0)]);
    assert_eq!((comparison.summary().namespaces, comparison.summary().left_out), (0, 1));
    for second in 4..7 {
        step(&mut comparison, second, &[(5000, 70, 1)]);
    }
    assert_eq!((comparison.summary().namespaces, out_rsts(&comparison)), (1, (0, 0)));
    comparison.note(0, 7 * SECOND, resets(1));
    assert_eq!(comparison.ledgers.len(), 1);
}

#[test]
fn counters_that_cannot_be_compared_are_named() {
    let mut comparison = Comparison::new(vec![(Counter::OutRsts, "no hook sees them".to_owned())]);
    for second in 1..4 {
        let emitted = step(&mut comparison, second, &[(7, 70, i64::try_from(second).unwrap())]);
        assert!(emitted.iter().all(|compared| compared.difference.is_zero()));
    }
    let summary = comparison.summary();
    assert!(summary.agrees() && summary.counters.iter().all(|counter| counter.counter != "OutRsts"));
    assert_eq!(
        summary.text(),
        "kernel counters agree (1 namespace); OutRsts is not comparable here: no hook sees them"
    );
    comparison.take(Err(io::ErrorKind::PermissionDenied.into()), &mut |_| ());
    assert!(comparison.summary().text().contains("not compared: /proc cannot be read"));
    comparison.note(7, 1, resets(1));
    assert!(comparison.ledgers.is_empty());
}
