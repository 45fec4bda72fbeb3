//! Ladders of constructed stories. `tests/query.rs` has one of a recording.

use super::*;
use crate::{
    classify::classify,
    event::Body,
    story::tests::{Script, task},
};

fn story(script: &Script) -> StoryWithErrors {
    StoryWithErrors { verdict: classify(&script.story()), errors: Vec::new() }
}

fn ladder(found: &FoundStory, width: Option<usize>) -> Vec<String> {
    let explanation = explain(found, ClockOffset(0), &mut Cgroups::none());
    // As a client receives it over the socket.
    let text = serde_json::to_string(&explanation).unwrap();
    draw(&serde_json::from_str(&text).unwrap(), width)
}

fn closed_late() -> Script {
    let script = Script::opened().packet_to(State::CloseWait).wait(3_000_000_000);
    script.with(|socket| socket.copied_seq -= 5).close_to(State::LastAck).orphan_to(State::Close)
}

#[test]
fn one_end_has_its_calls_and_its_packets() {
    let found = FoundStory { story: story(&closed_late()), peer: None };
    let lines = ladder(&found, None);
    assert!(lines[0].starts_with("graceful/orderly  "), "{lines:#?}");
    let expected = "
         ms  127.0.0.1:1000                                                           127.0.0.1:2000
      0.000  connect()                                             SYN ────────────▶
      1.000  ESTABLISHED → CLOSE_WAIT                              FIN ◀────────────
   3002.000  closer[812] close(): CLOSE_WAIT → LAST_ACK, 4 unread  FIN ────────────▶
   3003.000  LAST_ACK → CLOSE, 4 unread                            ACK ◀────────────";
    assert_eq!(format!("\n{}", lines[3..].join("\n")), expected);
}

#[test]
fn rows_of_both_ends_are_in_order_of_time() {
    let mut peer = story(&Script::opened().close_to(State::FinWait1).orphan_to(State::FinWait2));
    peer.verdict.head.endpoints = crate::event::Endpoints {
        local: peer.verdict.head.endpoints.remote,
        remote: peer.verdict.head.endpoints.local,
        netns: 7,
    };
    let found = FoundStory { story: story(&closed_late()), peer: Some(peer) };
    let lines = ladder(&found, None);
    let sides: Vec<_> = lines.iter().filter_map(|line| line.split_once("◀").map(|(left, _)| left)).collect();
    assert!(lines.iter().any(|line| line.contains("the other end, on this host too")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("◀──────────── FIN  closer[812] close()")), "{lines:#?}");
    assert!(sides.len() >= 3, "{lines:#?}");
}

#[test]
fn effects_of_a_packet_name_no_process() {
    let mut script = Script::opened();
    script.push(None, Body::ResetReceived { state: State::Established });
    let script = script.with(|socket| socket.err = 104).call_to(State::Close, false);
    let lines = ladder(&FoundStory { story: story(&script), peer: None }, None).join("\n");
    assert!(lines.contains("in ESTABLISHED  ") && lines.contains("RST ◀───"), "{lines}");
    assert!(lines.contains("ESTABLISHED → CLOSE") && !lines.contains("caller[812] "), "{lines}");
}

#[test]
fn failing_writes_have_a_row_with_their_errno() {
    let mut story = story(&closed_late());
    story.errors.push(WriteFailure {
        ns: story.verdict.head.ns + 1_000_000,
        close_id: Some(story.verdict.head.id.clone()),
        endpoints: story.verdict.head.endpoints,
        opened_by: None,
        process: Some(task("writer")),
        errno: 32,
        sigpipe: true,
        verdict: crate::classify::WriteVerdict {
            cause: crate::classify::WriteCause::LocalShutdown,
            since_peer_fin_ns: None,
            since_reset_ns: None,
        },
    });
    let lines = ladder(&FoundStory { story, peer: None }, None);
    assert!(lines.last().unwrap().ends_with("writer[812] send() fails: EPIPE and SIGPIPE"), "{lines:#?}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let found = FoundStory { story: story(&closed_late()), peer: Some(story(&closed_late())) };
    for width in [1, 20, 40, 80, 100, 200] {
        for line in ladder(&found, Some(width)).iter().filter(|line| line.contains('▶')) {
            assert!(line.chars().count() <= width, "{width}: {line:?}");
        }
    }
}
