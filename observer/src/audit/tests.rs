//! Namespaces that come and go, over made-up samples.

use super::*;
use crate::audit::ledger::Reading;

const SECOND: u64 = 1_000_000_000;

fn resets(number: i64) -> Counters {
    (0..number).fold(Counters::default(), |sum, _| sum + Counters::moved(&[Counter::OutRsts]))
}

/// A sample at this second: namespaces with the process in each, and the resets that the kernel has counted.
fn sample(second: u64, seen: &[(u32, i32, i64)]) -> Sample {
    let start_ns = second * SECOND;
    let seen = seen.iter().map(|(netns, pid, counted)| Seen {
        netns: *netns,
        witnesses: vec![(*pid, 1)],
        reading: Reading { start_ns, end_ns: start_ns, counters: resets(*counted) },
    });
    Sample { seen: seen.collect(), ..Sample::default() }
}

/// Takes a sample and compares it as soon as may be.
fn step(books: &mut Books, second: u64, seen: &[(u32, i32, i64)]) -> Vec<Compared> {
    let mut told = Vec::new();
    books.take(Ok(sample(second, seen)), &mut |_| ());
    assert!(!books.compare(second * SECOND + REPORTED_NS - 1, &mut |_| ()), "too early");
    assert!(books.compare(second * SECOND + REPORTED_NS, &mut |compared| told.push(*compared)));
    told
}

fn out_rsts(books: &Books) -> (u64, u64) {
    let summary = books.summary();
    let found = summary.counters.iter().find(|difference| difference.counter == "OutRsts").unwrap();
    (found.not_reported, found.not_counted)
}

#[test]
fn each_namespace_counts_for_itself() {
    let mut books = Books::new(Vec::new());
    step(&mut books, 1, &[(7, 70, 100), (8, 80, 5)]);
    books.note(7, 2 * SECOND - 100_000_000, resets(2));
    for second in 2..4 {
        // One more in 8 than was reported, and one less in 7.
        step(&mut books, second, &[(7, 70, 101), (8, 80, 6)]);
    }
    assert_eq!(out_rsts(&books), (1, 1));
    let summary = books.summary();
    assert!(!summary.agrees());
    let difference = |netns, by| Differing { netns, differences: vec![("OutRsts".to_owned(), by)] };
    assert_eq!(summary.differing, [difference(7, -1), difference(8, 1)]);
    assert_eq!(
        summary.told(),
        "OutRsts: kernel counted 1 more than reported in some namespaces, 1 less in others (2 namespaces)"
    );
    // One that is gone takes its difference with it.
    step(&mut books, 4, &[(7, 70, 101)]);
    assert_eq!(out_rsts(&books), (0, 1));
    assert_eq!(books.ledgers.len(), 1);
}

#[test]
fn what_is_told_of_a_namespace_begins_with_zero() {
    let mut books = Books::new(Vec::new());
    let mut told = Vec::new();
    books.take(Ok(sample(1, &[(7, 70, 9)])), &mut |compared| told.push(*compared));
    let first =
        Compared { netns: 7, ns: SECOND, since_ns: SECOND, difference: Counters::default(), is_new: true };
    assert_eq!(told, [first]);
    assert_eq!(books.summary().told(), "the kernel's counters are not compared yet");
    books.compare(9 * SECOND, &mut |_| panic!("it was told"));
    assert_eq!(books.summary().told(), "kernel counters agree (1 namespace)");
    assert_eq!(step(&mut books, 2, &[(7, 70, 9)]), [Compared { ns: 2 * SECOND, is_new: false, ..first }]);
    let differs = Compared { ns: 4 * SECOND, difference: resets(1), ..first };
    step(&mut books, 3, &[(7, 70, 10)]);
    assert_eq!(step(&mut books, 4, &[(7, 70, 10)]), [differs]);
}

/// The kernel gives the number of a namespace that is gone to the next.
#[test]
fn a_number_that_is_used_again_is_another_namespace() {
    let mut books = Books::new(Vec::new());
    step(&mut books, 1, &[(7, 70, 0)]);
    books.note(7, 2 * SECOND - 500_000_000, resets(3));
    step(&mut books, 2, &[(7, 71, 1)]);
    for second in 3..5 {
        assert_eq!(step(&mut books, second, &[(7, 71, 1)])[0].difference, Counters::default());
    }
}

#[test]
fn reports_that_come_before_the_first_sample_is_taken_over_count() {
    let mut books = Books::new(Vec::new());
    books.note(7, 2 * SECOND, resets(1));
    books.take(Ok(sample(1, &[(7, 70, 40)])), &mut |_| ());
    books.compare(SECOND + REPORTED_NS, &mut |_| ());
    for second in 3..5 {
        assert_eq!(step(&mut books, second, &[(7, 70, 41)])[0].difference, Counters::default());
    }
}

#[test]
fn namespaces_are_bounded_and_one_that_had_no_room_counts_from_later() {
    let mut books = Books::new(Vec::new());
    let many: Vec<_> = (1..=1024).map(|netns| (netns, 70, 0)).collect();
    step(&mut books, 1, &many);
    books.note(5000, 3 * SECOND, resets(1));
    assert_eq!(books.ledgers.len(), LIMIT);
    // There is room, but a report was lost that the kernel had counted after this.
    step(&mut books, 2, &[(5000, 70, 0)]);
    assert_eq!((books.summary().namespaces, books.summary().left_out), (0, 1));
    for second in 4..7 {
        step(&mut books, second, &[(5000, 70, 1)]);
    }
    assert_eq!((books.summary().namespaces, out_rsts(&books)), (1, (0, 0)));
    books.note(0, 7 * SECOND, resets(1));
    assert_eq!(books.ledgers.len(), 1);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let mut books = Books::new(vec![(Counter::OutRsts, "nobody sees them".to_owned())]);
    for second in 1..4 {
        let told = step(&mut books, second, &[(7, 70, i64::try_from(second).unwrap())]);
        assert!(told.iter().all(|compared| compared.difference.is_zero()));
    }
    let summary = books.summary();
    assert!(summary.agrees() && summary.counters.iter().all(|counter| counter.counter != "OutRsts"));
    assert_eq!(
        summary.told(),
        "kernel counters agree (1 namespace); OutRsts is not comparable here: nobody sees them"
    );
    books.take(Err(io::ErrorKind::PermissionDenied.into()), &mut |_| ());
    assert!(books.summary().told().contains("not compared: /proc cannot be read"));
    books.note(7, 1, resets(1));
    assert!(books.ledgers.is_empty());
}
