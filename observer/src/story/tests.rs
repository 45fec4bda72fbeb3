//! Events by hand, for the tests of stories and of verdicts.

use super::*;
use crate::{
    event::{Comm, Flags, socket_for_tests},
    words::Side,
};

/// One connection's events, each a millisecond after the one before.
#[derive(Clone)]
pub(crate) struct Script {
    ns: u64,
    socket: Socket,
    pub(crate) events: Vec<Event>,
}

pub(crate) const SOCK: SockId = SockId(0xfeed);
pub(crate) const MS: u64 = 1_000_000;

/// A process by name.
pub(crate) fn task(comm: &str) -> Task {
    Task {
        pid: 812,
        tid: 812,
        uid: 33,
        comm: Comm::from(comm),
        cgroup: 1,
        exiting: false,
        kthread: false,
        signal: 0,
    }
}

impl Script {
    /// Opened by us, at 1 ms.
    pub(crate) fn opened() -> Self {
        let mut script = Self::unseen();
        script.push(None, Body::Opened { by: Side::Local, endpoints: None, inode: 0, early: false });
        script
    }

    /// Older than the observer.
    pub(crate) fn unseen() -> Self {
        Self { ns: 0, socket: socket_for_tests(), events: Vec::new() }
    }

    pub(crate) fn push(&mut self, task: Option<Task>, body: Body) {
        self.ns += MS;
        self.events.push(Event { ns: self.ns, sock: SOCK, task, body });
    }

    /// Changes the socket that the next records show.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Socket)) -> Self {
        change(&mut self.socket);
        self
    }

    /// Lets time pass.
    pub(crate) fn wait(mut self, ns: u64) -> Self {
        self.ns += ns;
        self
    }

    fn change(mut self, new: State, task: Option<Task>, flags: Flags) -> Self {
        let old = self.socket.state;
        let socket = Socket { flags: Flags { done: self.socket.flags.done, ..flags }, ..self.socket };
        self.push(task, Body::StateChange { old, new, socket });
        self.socket.state = new;
        self
    }

    /// `close()` by a process that holds the last descriptor.
    pub(crate) fn close_to(mut self, new: State) -> Self {
        (self.socket.send_shutdown, self.socket.rcv_shutdown) = (true, true);
        self.change(
            new,
            Some(task("closer")),
            Flags { owned: true, closing: true, has_socket: true, ..Flags::default() },
        )
    }

    /// As [`Self::close_to`], by the end of its process.
    pub(crate) fn exit_to(mut self, new: State, signal: u8) -> Self {
        (self.socket.send_shutdown, self.socket.rcv_shutdown) = (true, true);
        let task = Task { exiting: true, signal, ..task("closer") };
        self.change(
            new,
            Some(task),
            Flags { owned: true, closing: true, has_socket: true, ..Flags::default() },
        )
    }

    /// A call that keeps the descriptor: `shutdown()` or `connect(AF_UNSPEC)`.
    pub(crate) fn call_to(mut self, new: State, both: bool) -> Self {
        self.socket.send_shutdown = new != State::Close;
        self.socket.rcv_shutdown |= both;
        self.change(new, Some(task("caller")), Flags { owned: true, has_socket: true, ..Flags::default() })
    }

    /// A packet or a timer, on a socket that a process holds.
    pub(crate) fn packet_to(mut self, new: State) -> Self {
        if new == State::CloseWait {
            self.socket.flags.done = true;
            self.socket.rcv_shutdown = true;
        }
        self.change(new, None, Flags { has_socket: true, ..Flags::default() })
    }

    /// A packet or a timer, on a socket with these flags.
    pub(crate) fn packet_with(self, new: State, flags: Flags) -> Self {
        self.change(new, None, flags)
    }

    /// A packet or a timer, on an orphan.
    pub(crate) fn orphan_to(self, new: State) -> Self {
        self.change(new, None, Flags { dead: true, ..Flags::default() })
    }

    /// The peer's FIN, if it causes no change of state.
    pub(crate) fn done(mut self) -> Self {
        self.socket.flags.done = true;
        self
    }

    /// `tcp_reset()`.
    pub(crate) fn reset_received(mut self) -> Self {
        let state = self.socket.state;
        self.push(None, Body::ResetReceived { state });
        self
    }

    /// A reset of ours.
    pub(crate) fn reset_sent(mut self, active: bool, reason: Option<&str>, flags: Flags) -> Self {
        let state = self.socket.state;
        self.push(None, Body::ResetSent { reason: reason.map(Into::into), active, state, flags });
        self
    }

    /// A failing write.
    pub(crate) fn write_error(mut self, errno: u32) -> Self {
        let socket = self.socket;
        self.push(Some(task("writer")), Body::WriteError { errno, sigpipe: false, socket });
        self
    }

    /// `close()` of a connection that is over.
    pub(crate) fn destroyed(mut self, unread: u32) -> Self {
        self.push(Some(task("closer")), Body::Destroyed { unread, rcv_nxt: None });
        self
    }

    /// A scan finds no holder. Its time may be later than that of the events.
    pub(crate) fn unowned(mut self, scanned_ns: u64) -> Self {
        self.push(None, Body::NoOwner { scanned_ns });
        self
    }

    /// The story of these events.
    pub(crate) fn story(&self) -> Story {
        let mut events = self.events.iter();
        let opening = events.clone().find_map(|event| match event.body {
            Body::Opened { by, endpoints, inode, early } => {
                Some(Opening { ns: event.ns, by, task: event.task, endpoints, inode, early })
            }
            _ => None,
        });
        let first =
            events.find(|event| !matches!(event.body, Body::Opened { .. })).expect("a sign of an end");
        let mut story = Story::new(SOCK, first.ns, opening);
        for event in &self.events {
            story.note(event);
        }
        story
    }
}

#[test]
fn the_action_follows_from_the_file_and_the_process() {
    use State::{CloseWait, FinWait1, LastAck};
    let action = |script: Script| script.story().fin_sent.map(|fin| fin.action);
    assert_eq!(action(Script::opened().close_to(FinWait1)), Some(LocalAction::Close));
    assert_eq!(action(Script::opened().exit_to(FinWait1, 0)), Some(LocalAction::ProcessExit));
    assert_eq!(action(Script::opened().exit_to(FinWait1, 9)), Some(LocalAction::Killed));
    assert_eq!(action(Script::opened().call_to(FinWait1, false)), Some(LocalAction::ShutdownWrite));
    assert_eq!(action(Script::opened().call_to(FinWait1, true)), Some(LocalAction::ShutdownBoth));
    // The peer's FIN has already shut down receiving, so both calls shut down sending only.
    assert_eq!(
        action(Script::opened().packet_to(CloseWait).call_to(LastAck, false)),
        Some(LocalAction::ShutdownWrite)
    );
    assert_eq!(action(Script::opened().packet_to(CloseWait).close_to(LastAck)), Some(LocalAction::Close));
}

#[test]
fn what_the_peer_does_has_no_holder() {
    let story = Script::opened().packet_to(State::CloseWait).story();
    assert_eq!(story.holder, None);
    assert_eq!(story.inode, socket_for_tests().inode);
    assert!(story.peer_fin.is_some());
}

#[test]
fn a_later_socket_at_the_address_of_an_unaccepted_connection_has_another_process() {
    let mut script = Script::opened();
    let flags = Flags::default();
    let socket = Socket { state: State::Established, inode: 0, flags, ..socket_for_tests() };
    script.push(
        Some(task("listener")),
        Body::StateChange { old: State::Established, new: State::Close, socket },
    );
    // The record of its own destruction may have been lost.
    let lost = script.clone().destroyed(0).story();
    script.push(None, Body::Destroyed { unread: 0, rcv_nxt: None });
    for story in [script.destroyed(0).story(), lost] {
        let comms = [story.holder, story.end.and_then(|end| end.task)].map(|task| task.map(|task| task.comm));
        assert_eq!(comms, [None, Some("listener".into())]);
        assert!(story.close_call.is_none());
    }
}

#[test]
fn the_end_of_a_later_socket_at_the_same_address_is_not_this_ones() {
    let mut script = Script::opened().reset_received().packet_to(State::Close);
    let rcv_nxt = Some(socket_for_tests().rcv_nxt);
    let same = Body::Destroyed { unread: 3, rcv_nxt };
    let mut another = script.clone();
    script.push(Some(task("closer")), same);
    assert!(script.story().close_call.is_some());
    another.push(Some(task("other")), Body::Destroyed { unread: 0, rcv_nxt: Some(0) });
    let story = another.story();
    assert_eq!((story.holder, story.records_lost), (None, true), "its own end was not seen");
    assert!(story.close_call.is_none() && story.gone_ns.is_some());
}

#[test]
fn a_reset_of_ours_after_the_peers_is_of_a_later_connection() {
    let flags = Flags { owned: true, has_socket: true, ..Flags::default() };
    let story =
        Script::opened().reset_received().packet_to(State::Close).reset_sent(true, None, flags).story();
    assert_eq!((story.reset_sent, story.records_lost), (None, true));
}

#[test]
fn a_kernel_thread_is_never_an_owner() {
    let mut script = Script::opened().packet_to(State::CloseWait);
    let kthread = Task { kthread: true, ..task("kworker/0:1") };
    let socket = Socket {
        flags: Flags { closing: true, owned: true, has_socket: true, ..Flags::default() },
        state: State::CloseWait,
        ..socket_for_tests()
    };
    script.push(Some(kthread), Body::StateChange { old: State::CloseWait, new: State::LastAck, socket });
    assert_eq!(script.story().holder, None);
}

#[test]
fn a_reset_that_function_and_tracepoint_report_has_the_functions_time() {
    let flags = Flags { owned: true, has_socket: true, ..Flags::default() };
    let script = Script::opened().close_to(State::Close).reset_sent(true, None, flags);
    let first = script.events.last().map(|event| event.ns);
    let story = script.reset_sent(true, None, flags).story();
    assert_eq!(story.reset_sent.map(|sent| sent.ns), first);
    // A segment that is answered in the handshake ends nothing; what comes later does.
    let script = Script::opened().reset_sent(false, None, flags).reset_sent(false, None, flags);
    let last = script.events.last().map(|event| event.ns);
    assert_eq!(script.story().reset_sent.map(|sent| sent.ns), last);
}

#[test]
fn a_signal_to_a_thread_of_an_earlier_connection_interrupts_nothing() {
    let interrupted = |tid| {
        let script = Script::opened().with(|socket| socket.linger_ms = Some(1000)).close_to(State::FinWait1);
        let mut story = script.story();
        let ns = script.events.last().map_or(0, |event| event.ns) + MS;
        let body = Body::LingerInterrupted { signal: 9, tid };
        story.note(&Event { ns, sock: SOCK, task: None, body });
        story.linger_interrupted_ns.is_some()
    };
    let closer = Script::opened().close_to(State::FinWait1).story().close_call.and_then(|call| call.task);
    let tid = closer.map_or(0, |task| task.tid);
    assert!(interrupted(tid));
    assert!(!interrupted(tid + 1));
}
