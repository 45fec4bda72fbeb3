//! Whatever record is lost, no verdict says `exact` and is wrong: recordings of real connections, with records left out.
//!
//! `tests/recordings/` has one file per scenario of the kernel tests. `OBSERVER_TEST_RECORDINGS` makes them anew: see
//! `tests/kernel/main.rs`, whose tests leave out records of what they have just recorded themselves.

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
    assert!(unused.is_empty(), "a trace shows these losses by now:\n{}", unused.join("\n"));
}

fn read(path: &Path) -> Vec<Event> {
    let file = File::open(path).expect("opening a recording");
    let recording = Recording::open(BufReader::new(file)).expect("reading a recording");
    recording.map(|event| event.expect("an event")).collect()
}
