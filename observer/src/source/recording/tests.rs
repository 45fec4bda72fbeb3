//! Recordings, written and read, and files that are none.

use super::*;
use crate::{
    event::{Body, SockId, State},
    words::Side,
};

fn header() -> Header {
    Header {
        recording: FORMAT,
        version: "0.1.0".to_owned(),
        kernel: "6.18".to_owned(),
        mechanism: "raw_tracepoint".to_owned(),
        clock_offset_ns: ClockOffset(5),
    }
}

fn written(events: &[Event]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut recorder = Recorder::new(&mut file, &header()).unwrap();
    for event in events {
        recorder.write(event).unwrap();
    }
    recorder.flush().unwrap();
    file
}

fn error(file: &[u8]) -> String {
    match Recording::open(file) {
        Err(error) => error.to_string(),
        Ok(mut recording) => recording.find_map(Result::err).expect("an error").to_string(),
    }
}

#[test]
fn a_written_recording_is_read_back() {
    let opened = Event {
        ns: 1,
        sock: SockId(u64::MAX),
        task: None,
        body: Body::Opened { by: Side::Local, endpoints: None, inode: 0, early: false },
    };
    let received =
        Event { ns: 2, sock: SockId(3), task: None, body: Body::ResetReceived { state: State::FinWait1 } };
    let events = [opened, received];
    let file = written(&events);
    let recording = Recording::open(file.as_slice()).unwrap();
    assert_eq!(recording.header, header());
    let read: Vec<_> = recording.map(Result::unwrap).collect();
    assert_eq!(read, events);
}

#[test]
fn errors_name_the_line_and_the_mistake() {
    assert!(error(b"").contains("it is empty"));
    assert!(error(b"PNG\n").contains("line 1 is no header of a recording"));
    let mut newer = header();
    newer.recording = FORMAT + 1;
    let newer = serde_json::to_string(&newer).unwrap();
    assert!(error(newer.as_bytes()).contains("use a newer observer"));
    let mut cut = written(&[]);
    cut.extend_from_slice(b"{\"ns\":1,\"so");
    let message = error(&cut);
    assert!(message.starts_with("line 2 is no event"), "{message}");
    let mut bytes = written(&[]);
    bytes.extend_from_slice(b"\xff\xfe\n");
    let message = error(&bytes);
    assert!(message.starts_with("line 2"), "{message}");
}
