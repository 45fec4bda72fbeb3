//! When a story is emitted, and that none is emitted twice or lost.

use super::{deadlines::LINGERING_SPARE, *};
use crate::{
    story::tests::{MS, SOCK, Script},
    words::Side,
};

/// What was emitted, in words.
fn words(emitted: &Emitted<'_>) -> String {
    match emitted {
        Emitted::Close(Story { end: None, .. }) => "close: no end".to_owned(),
        Emitted::Close(Story { reset_sent: Some(_), .. }) => "close: reset sent".to_owned(),
        Emitted::Close(Story { reset_received: Some(_), .. }) => "close: reset received".to_owned(),
        Emitted::Close(_) => "close: no reset".to_owned(),
        Emitted::WriteError { story, .. } => format!("write error, story {}", story.is_some()),
        Emitted::StrayReset(_) => "stray reset".to_owned(),
        Emitted::LingerDeadline(_) => "linger deadline".to_owned(),
    }
}

struct Run {
    table: StoryTable,
    emitted: Vec<String>,
}

impl Run {
    fn new(limits: TableLimits) -> Self {
        Self { table: StoryTable::new(limits), emitted: Vec::new() }
    }

    fn apply(&mut self, events: &[Event]) -> &mut Self {
        for event in events {
            self.table.apply(event, &mut |emitted| self.emitted.push(words(&emitted)));
        }
        self
    }

    fn expire(&mut self, ns: u64) -> &mut Self {
        self.table.expire(ns, &mut |emitted| self.emitted.push(words(&emitted)));
        self
    }
}

fn closed_by_us() -> Script {
    Script::opened().close_to(State::FinWait1).orphan_to(State::FinWait2).orphan_to(State::Close)
}

/// The events of another connection at the same address.
fn later(script: Script) -> Vec<Event> {
    let mut events = script.events;
    for event in &mut events {
        event.ns += 10 * MS;
    }
    events
}

/// Each event reported again at once, by the second program.
fn twice(script: &Script) -> Vec<Event> {
    let again = |event: &Event| Event { ns: event.ns + 1000, ..event.clone() };
    script.events.iter().flat_map(|event| [event.clone(), again(event)]).collect()
}

#[test]
fn reports_of_both_programs_are_one_connection() {
    let aborted = || {
        let flags = crate::event::Flags { owned: true, has_socket: true, ..Default::default() };
        let aborted = Script::opened().with(|socket| socket.linger_ms = Some(0)).close_to(State::Close);
        aborted.reset_sent(true, None, flags)
    };
    let mut run = Run::new(TableLimits::default());
    run.apply(&twice(&aborted())).apply(&later(aborted())).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: reset sent"; 2]);
    assert_eq!(run.table.lost(), Lost::default());
}

#[test]
fn a_repeated_reset_begins_no_story() {
    let flags = crate::event::Flags::default();
    let script = closed_by_us().reset_sent(true, None, flags);
    let (late, events) = script.events.split_last().unwrap();
    let mut run = Run::new(TableLimits::default());
    run.apply(events).expire(u64::MAX).apply(std::slice::from_ref(late)).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: no reset"]);
    assert!(run.table.is_empty());
}

#[test]
fn a_close_that_lingers_at_the_finish_may_yet_succeed() {
    let script = Script::opened().with(|socket| socket.linger_ms = Some(1000)).close_to(State::FinWait1);
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events);
    run.table.finish_all(&mut |emitted| run.emitted.push(words(&emitted)));
    assert_eq!(run.emitted, [""; 0]);
}

#[test]
fn linger_deadlines_of_ended_connections_do_not_pile_up() {
    let mut run = Run::new(TableLimits::default());
    let weeks = Script::opened().with(|socket| socket.linger_ms = Some(4_000_000_000));
    let script = weeks.close_to(State::FinWait1).orphan_to(State::FinWait2).orphan_to(State::Close);
    for number in 0..3 * LINGERING_SPARE as u64 {
        let events = script.events.iter().cloned();
        let events: Vec<_> = events.map(|event| Event { sock: SockId(number), ..event }).collect();
        run.apply(&events).expire(events.last().unwrap().ns + SETTLE_NS);
    }
    assert!(
        run.table.deadlines.lingering.len() <= LINGERING_SPARE + 2,
        "{}",
        run.table.deadlines.lingering.len()
    );
}

#[test]
fn an_orphan_is_emitted_after_its_last_records() {
    let script = closed_by_us();
    let end = script.events.last().unwrap().ns;
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(end + SETTLE_NS - 1);
    assert!(run.emitted.is_empty(), "{:?}", run.emitted);
    run.expire(end + SETTLE_NS);
    assert_eq!(run.emitted, ["close: no reset"]);
    assert!(run.table.is_empty());
}

#[test]
fn a_held_descriptor_gets_grace_and_its_later_writes_are_explained() {
    let script = Script::opened().reset_received().packet_to(State::Close);
    let end = script.events.last().unwrap().ns;
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(end + GRACE_NS - 1);
    assert!(run.emitted.is_empty(), "{:?}", run.emitted);
    run.expire(end + GRACE_NS);
    assert_eq!(run.emitted, ["close: reset received"]);
    assert_eq!(run.table.len(), 1, "a process still holds the socket");

    let later = script.wait(60_000 * MS).write_error(32).destroyed(0);
    run.apply(&later.events[3..]).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: reset received", "write error, story true"]);
    assert!(run.table.is_empty());
}

#[test]
fn a_close_before_the_scan_is_waited_for() {
    let script = Script::opened().reset_received().packet_to(State::Close);
    let due = script.events.last().unwrap().ns + GRACE_NS;
    let script = script.unowned(due + 1000 * MS);
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(due + 1000 * MS);
    assert!(run.emitted.is_empty(), "{:?}", run.emitted);
    assert_eq!(run.table.unowned(u64::MAX).count(), 0, "one scan is enough");
    run.apply(&script.clone().wait(GRACE_NS).destroyed(0).events[4..])
        .expire(due + 1000 * MS + SETTLE_NS - 1);
    assert_eq!(run.emitted, ["close: reset received"]);
    assert!(run.table.is_empty());

    // Or the holder cannot be seen.
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(due + 1000 * MS + SETTLE_NS);
    assert_eq!(run.emitted, ["close: reset received"]);
}

#[test]
fn closing_ends_the_grace() {
    let script = Script::opened().reset_received().packet_to(State::Close).destroyed(0);
    let end = script.events.last().unwrap().ns;
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(end + SETTLE_NS);
    assert_eq!(run.emitted, ["close: reset received"]);
    run.expire(u64::MAX);
    assert_eq!(run.emitted.len(), 1, "emitted twice");
}

#[test]
fn a_reset_after_the_end_still_belongs_to_it() {
    // tcp_rcv_state_process: tcp_reset(), CLOSE, destroy, and only then the reset for the late data.
    let script = Script::opened()
        .call_to(State::FinWait1, true)
        .packet_to(State::FinWait2)
        .reset_received()
        .orphan_to(State::Close)
        .reset_sent(false, Some("TCP_ABORT_ON_DATA"), crate::event::Flags::default());
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: reset sent"]);
}

#[test]
fn a_reused_socket_is_another_connection() {
    let first = closed_by_us();
    let mut run = Run::new(TableLimits::default());
    // The next connection begins before the first is emitted.
    run.apply(&first.events).apply(&Script::opened().events);
    assert_eq!(run.emitted, ["close: no reset"]);
    run.expire(u64::MAX);
    assert_eq!(run.emitted.len(), 1);

    // The same, and the record of the new opening is lost.
    let mut run = Run::new(TableLimits::default());
    run.apply(&first.events).apply(&closed_by_us().events[1..]).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: no reset", "close: no reset"]);
}

#[test]
fn a_story_without_its_end_is_emitted_when_the_socket_is_reused() {
    let mut run = Run::new(TableLimits::default());
    run.apply(&Script::opened().close_to(State::FinWait1).events).apply(&Script::opened().events);
    assert_eq!(run.emitted, ["close: no end"]);
    assert_eq!(run.table.lost().unseen_ends, 1);
}

#[test]
fn a_connection_with_an_opening_only_is_counted() {
    let mut run = Run::new(TableLimits::default());
    run.apply(&Script::opened().events).apply(&later(closed_by_us())).expire(u64::MAX);
    assert_eq!(run.emitted, ["close: no reset"]);
    assert_eq!(run.table.lost().unseen_ends, 1);
}

#[test]
fn stories_and_openings_that_do_not_fit_are_counted() {
    let mut run = Run::new(TableLimits { stories: 0, openings: 0 });
    run.apply(&closed_by_us().events).expire(u64::MAX);
    assert!(run.emitted.is_empty());
    assert_eq!(run.table.lost(), Lost { openings: 1, stories: 3, ..Lost::default() });
}

#[test]
fn sockets_that_never_connected_leave_no_trace() {
    let script = Script::unseen().destroyed(0).write_error(32);
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(u64::MAX);
    assert_eq!(run.emitted, ["write error, story false"]);
    assert!(run.table.is_empty());
}

#[test]
fn a_write_to_a_reused_socket_is_not_of_the_connection_before() {
    let mut run = Run::new(TableLimits::default());
    let script = closed_by_us();
    run.apply(&script.events);
    let next = script.write_error(32).events;
    run.apply(&next[next.len() - 1..]).expire(u64::MAX);
    assert_eq!(run.emitted, ["write error, story false", "close: no reset"]);
}

#[test]
fn writes_that_failed_before_the_end_began_are_in_its_story() {
    let early = |script: &Script| {
        let mut errors = Vec::new();
        let mut table = StoryTable::new(TableLimits::default());
        let mut emit = |emitted: Emitted<'_>| {
            if let Emitted::Close(story) = emitted {
                errors.push(story.write_errors.clone());
            }
        };
        script.events.iter().for_each(|event| table.apply(event, &mut emit));
        table.finish_all(&mut emit);
        errors
    };
    let ends =
        |script: Script| script.close_to(State::FinWait1).orphan_to(State::FinWait2).orphan_to(State::Close);
    let failed = ends(Script::opened().write_error(14).write_error(14));
    assert_eq!(early(&failed), [[(14, 2)].into()]);
    let both = Script::opened().write_error(14).call_to(State::FinWait1, false).write_error(32);
    let both = both.packet_to(State::FinWait2).done().packet_to(State::Close);
    assert_eq!(early(&both), [[(14, 1), (32, 1)].into()]);
    // They belong to a connection, not to its socket.
    let mut again = Script::unseen().write_error(32);
    again.push(None, Body::Opened { by: Side::Local, endpoints: None, inode: 0, early: false });
    assert_eq!(early(&ends(again)), [[].into()]);
    let mut never = Script::unseen().write_error(32).destroyed(0);
    never.events.extend(later(closed_by_us()).into_iter().skip(1));
    assert_eq!(early(&never), [[].into()]);
}

#[test]
fn a_connection_whose_failed_sends_may_be_forgotten_lacks_records() {
    let may_lack = |sockets: u64| {
        let mut table = StoryTable::new(TableLimits::default());
        let script = Script::opened().write_error(14);
        let (opened, failed) = (&script.events[0], &script.events[1]);
        table.apply(opened, &mut |_| {});
        for number in 0..sockets {
            let event = Event { sock: SockId(number), ..failed.clone() };
            table.apply(&event, &mut |_| {});
        }
        let mut lacks = false;
        let mut emit = |emitted: Emitted<'_>| {
            if let Emitted::Close(story) = emitted {
                lacks = story.records_lost;
            }
        };
        closed_by_us().events[1..].iter().for_each(|event| table.apply(event, &mut emit));
        table.finish_all(&mut emit);
        (lacks, table.lost().early_errors > 0)
    };
    assert_eq!(may_lack(100), (false, false));
    assert_eq!(may_lack(20_000), (true, true));
}

#[test]
fn the_deadline_of_a_lingering_close_is_emitted_once() {
    let script = Script::opened().with(|socket| socket.linger_ms = Some(1000)).close_to(State::FinWait1);
    let call = script.events.last().unwrap().ns;
    let mut run = Run::new(TableLimits::default());
    run.apply(&script.events).expire(call + 1000 * MS);
    assert!(run.emitted.is_empty(), "{:?}", run.emitted);
    run.expire(call + 1000 * MS + SETTLE_NS).expire(u64::MAX);
    assert_eq!(run.emitted, ["linger deadline"]);
    assert_eq!(run.table.stories.get(&SOCK).map(|entry| entry.emitted), Some(false));
}

#[test]
fn a_connection_is_half_closed_from_one_fin_to_the_other() {
    let half_closed = |script: &Script| -> Vec<_> {
        let mut run = Run::new(TableLimits::default());
        run.apply(&script.events);
        run.table.half_closed().filter_map(Story::half_closed).collect()
    };
    let last = |script: &Script| script.events.last().unwrap().ns;
    assert_eq!(half_closed(&Script::opened()), []);
    let by_peer = Script::opened().packet_to(State::CloseWait);
    assert_eq!(half_closed(&by_peer), [(Side::Remote, last(&by_peer))]);
    assert_eq!(half_closed(&by_peer.close_to(State::LastAck)), []);
    let by_us = Script::opened().close_to(State::FinWait1);
    let since_ns = last(&by_us);
    let by_us = by_us.orphan_to(State::FinWait2);
    assert_eq!(half_closed(&by_us), [(Side::Local, since_ns)]);
    assert_eq!(half_closed(&by_us.orphan_to(State::Close)), []);
}

#[test]
fn a_connection_that_has_just_ended_may_lack_its_last_record() {
    let doubted = |since_ns: u64| {
        let mut table = StoryTable::new(TableLimits::default());
        let script = closed_by_us();
        let ended_ns = script.events.last().map_or(0, |event| event.ns);
        for event in &script.events {
            table.apply(event, &mut |_| {});
        }
        let (since_ns, until_ns) = (ended_ns + since_ns, ended_ns + since_ns + MS);
        let body = Body::RecordsLost { since_ns, until_ns, count: 1 };
        table.apply(&Event { ns: until_ns, sock: SockId(0), task: None, body }, &mut |_| {});
        let mut doubted = Vec::new();
        table.expire(u64::MAX, &mut |emitted| match emitted {
            Emitted::Close(story) => doubted.push(story.records_lost),
            _ => doubted.clear(),
        });
        doubted
    };
    // A reset of ours is reported after the change to CLOSE.
    assert_eq!(doubted(MS), [true]);
    assert_eq!(doubted(SETTLE_NS + MS), [false]);
}
