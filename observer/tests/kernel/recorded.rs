//! Replays a test's recording with records left out. No verdict may then be wrong and say `exact`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use observer::event::{Body, Endpoints, Event, SockId};
use observer::source::recording::{Header, Recorder, Recording};

use crate::leave_out::{self, lives};
use crate::row;
use crate::traceless::TRACELESS;

/// Replays per record that is left out: one without a loss mark, and two with a mark.
const WAYS: usize = 3;

/// Most replays of one recording if pairs are left out, too.
const REPLAYS: usize = 3000;

/// Most connections of a recording that is replayed. With more of them the kernel reuses sockets, and records without
/// addresses cannot be assigned to a connection.
const CONNECTIONS: usize = 12;

/// Number of replays in all tests.
static REPLAYED: AtomicUsize = AtomicUsize::new(0);

/// Number of replays with records left out, in all tests.
pub(crate) fn replayed() -> usize {
    REPLAYED.load(Ordering::Relaxed)
}

/// Replays the recording, each time without some records of the test's own network namespace.
pub(crate) fn leave_out(path: &Path, netns: u64) {
    let recording = BufReader::new(File::open(path).expect("opening the recording"));
    let recording = Recording::open(recording).expect("reading the recording");
    let header = recording.header.clone();
    let events = recording.map(|event| event.expect("an event")).collect();
    let netns = u32::try_from(netns).expect("the number of a network namespace");
    let events = of_namespace(events, netns);
    keep(&header, &events);
    if lives(&events).len() > CONNECTIONS || row::name().is_none() {
        return;
    }
    // By default pairs are left out only of the recordings in tests/recordings/.
    let pairs = std::env::var_os("OBSERVER_TEST_PAIRS").is_some_and(|wanted| wanted == "1");
    let replays = if pairs { REPLAYS } else { WAYS * events.len() };
    let outcomes = leave_out::leave_out(&events, replays);
    REPLAYED.fetch_add(outcomes.replays, Ordering::Relaxed);
    let wrong = outcomes.wrong.keys().filter(|wrong| wrong.explained_by(TRACELESS).is_none());
    let wrong: Vec<_> = wrong.map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "with records left out, wrong verdicts say exact:\n{}", wrong.join("\n"));
}

/// Keeps the recording if `OBSERVER_TEST_RECORDINGS` is set.
fn keep(header: &Header, events: &[Event]) {
    let Some(dir) = std::env::var_os("OBSERVER_TEST_RECORDINGS") else { return };
    // A test that is not a row has no name here.
    let Some(name) = row::name().filter(|_| !events.is_empty()) else { return };
    let path = Path::new(&dir).join(format!("{}.jsonl", name.replace("::", "-")));
    let file = File::create(path).expect("making the file of a recording");
    let mut recorder = Recorder::new(BufWriter::new(file), header).expect("writing a recording");
    for event in events {
        recorder.write(event).expect("writing a recording");
    }
    recorder.flush().expect("writing a recording");
}

/// The events of one network namespace: whole connections, and the owners that user space found for them.
fn of_namespace(events: Vec<Event>, netns: u32) -> Vec<Event> {
    let within = |at: &usize| endpoints(&events[*at]).is_some_and(|ends| ends.netns == netns);
    let ours = lives(&events).into_iter().filter(|life| life.iter().any(within));
    let ours: BTreeSet<usize> = ours.flatten().collect();
    // An owner belongs to the connection that uses the socket at that time. A later connection of another namespace may
    // reuse its memory.
    let mut is_ours: BTreeMap<SockId, bool> = BTreeMap::new();
    let mut keep = |at: usize, event: &Event| match event.body {
        Body::Owner | Body::NoOwner { .. } => is_ours.get(&event.sock) == Some(&true),
        Body::RecordsLost { .. } => true,
        _ => {
            is_ours.insert(event.sock, ours.contains(&at));
            ours.contains(&at)
        }
    };
    events.into_iter().enumerate().filter(|(at, event)| keep(*at, event)).map(|(_, event)| event).collect()
}

const fn endpoints(event: &Event) -> Option<&Endpoints> {
    match &event.body {
        Body::Opened { endpoints, .. } => endpoints.as_ref(),
        Body::StateChange { socket, .. } | Body::WriteError { socket, .. } => Some(&socket.endpoints),
        _ => None,
    }
}
