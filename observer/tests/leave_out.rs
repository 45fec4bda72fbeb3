//! Replays recordings of real connections with records left out: no verdict may be wrong and say `exact`.
//!
//! `tests/recordings/` has one file per kernel test, named after it. `OBSERVER_TEST_RECORDINGS` records them anew: see
//! `tests/kernel/main.rs`. The kernel tests also leave out records of their own new recordings.

#![expect(clippy::expect_used, reason = "in a test a panic is the way to fail")]

use std::{collections::BTreeSet, fs::File, io::BufReader, path::Path};

use observer::{event::Event, source::recording::Recording};

use crate::traceless::TRACELESS;

#[path = "support/leave_out.rs"]
mod leave_out;
#[path = "support/traceless.rs"]
mod traceless;

#[test]
fn no_loss_makes_a_wrong_verdict_exact() {
    let (mut replays, mut recordings) = (0, 0);
    let (mut unexplained, mut used) = (Vec::new(), BTreeSet::new());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    for entry in dir.read_dir().expect("listing the recordings") {
        let path = entry.expect("listing the recordings").path();
        let outcomes = leave_out::leave_out(&read(&path), usize::MAX);
        replays += outcomes.replays;
        recordings += 1;
        for (wrong, times) in &outcomes.wrong {
            match wrong.explained_by(TRACELESS) {
                Some(entries) => used.extend(entries),
                None => unexplained.push(format!("{}: {wrong} {times} times", path.display())),
            }
        }
    }
    println!("{replays} replays of {recordings} recordings");
    assert!(
        unexplained.is_empty(),
        "{} wrong verdicts say exact:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    let unused = TRACELESS.iter().enumerate().filter(|(place, _)| !used.contains(place));
    let unused: Vec<_> = unused.map(|(_, entry)| format!("{}: {}", entry.lost, entry.why)).collect();
    assert!(
        unused.is_empty(),
        "these losses are now detected, so remove their entries:\n{}",
        unused.join("\n")
    );
}

fn read(path: &Path) -> Vec<Event> {
    let file = File::open(path).expect("opening a recording");
    let recording = Recording::open(BufReader::new(file)).expect("reading a recording");
    recording.map(|event| event.expect("an event")).collect()
}
