//! Whatever record is lost, no verdict says `exact` and is wrong: recordings of real connections, with records left out.
//!
//! `tests/recordings/` has one file per scenario of the kernel tests. To make them anew, see `OBSERVER_TEST_RECORDINGS` in
//! `tests/kernel/main.rs`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in a test a panic is the way to fail, and the counts are for the person who runs it"
)]

use std::{collections::{BTreeMap, BTreeSet}, fs::File, io::BufReader, path::Path};

use observer::{event::Event, source::recording::Recording};

use crate::leave_out::{Traceless, Wrong};

#[path = "support/leave_out.rs"]
mod leave_out;
#[path = "support/traceless.rs"]
mod traceless;

#[test]
fn no_loss_makes_a_wrong_verdict_exact() {
    let (mut replays, mut recordings) = (0, 0);
    let mut wrong: BTreeMap<Wrong, (usize, BTreeSet<String>)> = BTreeMap::new();
    let dir = std::env::var_os("LEAVE_OUT_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings"), Into::into);
    for entry in dir.read_dir().expect("listing the recordings") {
        let path = entry.expect("listing the recordings").path();
        let outcomes = leave_out::leave_out(&read(&path), usize::MAX);
        replays += outcomes.replays;
        recordings += 1;
        for (it, count) in outcomes.wrong {
            let known = wrong.entry(it).or_default();
            known.0 += count;
            known.1.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    println!("{replays} replays of {recordings} recordings, {} wrong", wrong.len());
    let mut used = BTreeSet::new();
    let mut unexplained = 0;
    for (it, (count, names)) in &wrong {
        if let Some(entries) = it.explained_by(traceless::TRACELESS) {
            used.extend(entries);
            continue;
        }
        unexplained += 1;
        println!("{} lost {:?} truth {} differs {:?} x{count} {names:?}", if it.marked { "MARK" } else { "----" }, it.lost, it.truth, it.differs);
    }
    println!("unexplained {unexplained}");
}

fn read(path: &Path) -> Vec<Event> {
    let file = File::open(path).expect("opening a recording");
    let recording = Recording::open(BufReader::new(file)).expect("reading a recording");
    recording.map(|event| event.expect("an event")).collect()
}
