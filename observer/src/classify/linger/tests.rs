//! SO_LINGER and its results.

use State::{Close, CloseWait, FinWait1, FinWait2, LastAck};

use super::{
    super::{
        classify,
        tests::{opened, verdict},
        verdict::Missing,
    },
    *,
};
use crate::{
    event::Flags,
    story::tests::{MS, Script},
    words::LocalAction,
};

#[test]
fn lingering() {
    let timed = || opened().with(|socket| socket.linger_ms = Some(1000));
    let linger = |script: &Script| {
        let linger = verdict(script).linger.expect("close() was called");
        (linger.mode, linger.result, linger.waited_ns)
    };
    let acked = timed().close_to(FinWait1).wait(4 * MS).packet_to(FinWait2).orphan_to(Close);
    assert_eq!(linger(&acked), (LingerMode::Timed, Some(LingerResult::Acked), Some(5 * MS)));
    let last = timed().packet_to(CloseWait).close_to(LastAck).packet_to(Close);
    assert_eq!(linger(&last), (LingerMode::Timed, Some(LingerResult::Acked), Some(MS)));
    let expired = timed().close_to(FinWait1).wait(5000 * MS).orphan_to(FinWait2).orphan_to(Close);
    // The kernel side does not report the change of an orphan to FIN_WAIT2, so it is removed here.
    let mut story = expired.story();
    story.fin_acked_ns = None;
    let found = classify(&story).linger.expect("close() was called");
    assert_eq!((found.result, found.waited_ns), (Some(LingerResult::Expired), Some(1000 * MS)));
    let mut story = expired.story();
    story.fin_acked_ns = None;
    story.linger_interrupted_ns = Some(story.close_call.expect("close() was called").ns + 7 * MS);
    let found = classify(&story).linger.expect("close() was called");
    assert_eq!((found.result, found.waited_ns), (Some(LingerResult::Interrupted), Some(7 * MS)));
    // If the return of the wait is traced, it decides.
    let over = |after_ms, state| {
        let mut story = expired.story();
        story.fin_acked_ns = None;
        story.linger_over = story.close_call.map(|call| (call.ns + after_ms * MS, state));
        let found = classify(&story).linger.expect("close() was called");
        (found.result, found.waited_ns)
    };
    assert_eq!(over(7, FinWait1), (Some(LingerResult::Interrupted), Some(7 * MS)));
    assert_eq!(over(990, FinWait1), (Some(LingerResult::Expired), Some(990 * MS)));
    assert_eq!(over(1003, FinWait1), (Some(LingerResult::Expired), Some(1003 * MS)));
    let exiting = timed().exit_to(FinWait1, 15).orphan_to(FinWait2).orphan_to(Close);
    assert_eq!(linger(&exiting).0, LingerMode::Suppressed);
    assert_eq!(verdict(&exiting).local_action.map(LocalAction::word), Some("killed"));
    let reset = opened().reset_received().packet_to(Close).destroyed(3);
    assert_eq!(verdict(&reset).linger, None, "the connection was already over");
    assert_eq!(verdict(&reset).head.bytes.unread, Some(3));
}

#[test]
fn a_wait_that_ended_unseen_has_no_result() {
    let timed = || opened().with(|socket| socket.linger_ms = Some(60_000)).close_to(FinWait1);
    let found = |script: &Script| {
        let found = verdict(script);
        (found.linger.and_then(|linger| linger.result), found.evidence.word())
    };
    // A signal or the change to FIN_WAIT2 ended the wait, and its record was lost.
    let orphan = timed().with(|socket| socket.state = FinWait2).orphan_to(Close);
    assert_eq!(found(&orphan), (None, "inferred"));
    assert_eq!(verdict(&orphan).missing[0], Missing::Records);
    // The same, if close() ended the connection.
    let flags = Flags { dead: true, owned: true, ..Flags::default() };
    let waited = timed().with(|socket| socket.state = FinWait2).packet_with(Close, flags);
    assert_eq!(found(&waited), (None, "inferred"));
    // The signal is delivered at the end of close(), after the acknowledgement in its backlog.
    let mut story = waited.story();
    story.linger_interrupted_ns = story.end.map(|end| end.ns + MS);
    let found = classify(&story);
    assert_eq!(found.linger.and_then(|linger| linger.result), Some(LingerResult::Acked));
    assert_eq!(found.evidence.word(), "exact");
}
