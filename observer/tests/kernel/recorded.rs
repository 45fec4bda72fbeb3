//! What a test's own observer recorded, with records left out: no verdict may then claim what it cannot know.

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

/// Replays for each record that is left out: without a mark, and with each of two.
const WAYS: usize = 3;

/// Replays of one recording with pairs left out too.
const REPLAYS: usize = 3000;

/// Connections of one recording. Where there are more, the kernel uses sockets again and again, and of two records
/// without either end nobody can say whose they are.
const CONNECTIONS: usize = 12;

/// Replays of all tests.
static REPLAYED: AtomicUsize = AtomicUsize::new(0);

/// How often recordings were replayed with records left out.
pub(crate) fn replayed() -> usize {
    REPLAYED.load(Ordering::Relaxed)
}

/// Leaves out records of the test's own network namespace.
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
    // Pairs are left out of the recordings that lie in tests/recordings/.
    let pairs = std::env::var_os("OBSERVER_TEST_PAIRS").is_some_and(|wanted| wanted == "1");
    let replays = if pairs { REPLAYS } else { WAYS * events.len() };
    let outcomes = leave_out::leave_out(&events, replays);
    REPLAYED.fetch_add(outcomes.replays, Ordering::Relaxed);
    let wrong = outcomes.wrong.keys().filter(|wrong| wrong.explained_by(TRACELESS).is_none());
    let wrong: Vec<_> = wrong.map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "with records left out, wrong verdicts say exact:\n{}", wrong.join("\n"));
}

/// Keeps a recording for `tests/recordings/`, where somebody asked for it.
fn keep(header: &Header, events: &[Event]) {
    let Some(dir) = std::env::var_os("OBSERVER_TEST_RECORDINGS") else { return };
    // A test of another kind has no name here.
    let Some(name) = row::name().filter(|_| !events.is_empty()) else { return };
    let path = Path::new(&dir).join(format!("{}.jsonl", name.replace("::", "-")));
    let file = File::create(path).expect("making the file of a recording");
    let mut recorder = Recorder::new(BufWriter::new(file), header).expect("writing a recording");
    for event in events {
        recorder.write(event).expect("writing a recording");
    }
    recorder.flush().expect("writing a recording");
}

/// The events of one network namespace: whole connections, and what user space found out about them.
fn of_namespace(events: Vec<Event>, netns: u32) -> Vec<Event> {
    let within = |at: &usize| endpoints(&events[*at]).is_some_and(|ends| ends.netns == netns);
    let ours = lives(&events).into_iter().filter(|life| life.iter().any(within));
    let ours: BTreeSet<usize> = ours.flatten().collect();
    // What user space found out is of the connection that the socket is then. Other namespaces use its memory again.
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
