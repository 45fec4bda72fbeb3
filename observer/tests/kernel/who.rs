//! The process that a report names for a close or a failing write, and its action.
//!
//! The address family makes no difference here, so these rows run on IPv4 alone.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;

use crate::actor::child::FORK_NAME;
use crate::actor::{Action, ActorCommand, How};
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::State;
use crate::report::{Bytes, linger_off, reset_received_in, reset_sent_in};
use crate::row::Row;
use crate::wait::let_pass;

pub(crate) const ROWS: &[Row] = &[
    Row { name: "who_thread", run: thread },
    Row { name: "who_fork_exits", run: fork_exits },
    Row { name: "who_parent_exits", run: parent_exits },
    Row { name: "who_passed", run: passed },
    Row { name: "who_exec", run: exec },
    Row { name: "who_sigterm", run: sigterm },
    Row { name: "who_sigkill", run: sigkill },
    Row { name: "who_uring", run: uring },
    Row { name: "who_uring_worker", run: uring_worker },
    Row { name: "who_older", run: older },
    Row { name: "who_place_taken", run: place_taken },
    Row { name: "write_after_read_error", run: write_after_read_error },
    Row { name: "write_after_read_end", run: write_after_read_end },
    Row { name: "write_again_and_again", run: write_again_and_again },
    Row { name: "write_late", run: write_late },
];

/// Another thread closes, and writes. The report names the process with the name of its first thread.
fn thread(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    in_thread(&us, Action::Close).expect("closing in a thread");
    peer.receive_to_end(0);
    peer.close();
    lab.close_of(&us).shows(&json!({"outcome": "graceful", "first_close": "local", "local_action": "close"}));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));

    let (us, peer) = lab.pair();
    in_thread(&us, Action::Shutdown(How::Write)).expect("shutting down in a thread");
    let written = in_thread(&us, Action::Send { bytes: 10, flags: 0 });
    assert_eq!(written, Err(Errno::EPIPE), "writing in a thread");
    peer.receive_to_end(0);
    peer.close();
    us.receive_to_end(0);
    us.close();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({"outcome": "graceful", "cause": "orderly", "local_action": "shutdown_write"}));
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "local_shutdown",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "orderly"}));
    Counters::NONE
}

fn in_thread(end: &End<'_>, action: Action) -> Result<u64, Errno> {
    end.call(Action::InThread(Box::new(ActorCommand { name: end.name.clone(), action })))
}

/// A forked child shares the descriptor. The parent closes first, the child exits with it.
fn fork_exits(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let child = lab.cli.call(FORK_NAME, Action::Fork).expect("forking");
    us.close();
    lab.await_state(&us, State::Established);
    let exit = ActorCommand { name: String::new(), action: Action::Exit(0) };
    lab.cli.begin(FORK_NAME, Action::Relay(Box::new(exit)));
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    ends_by_exit(lab, &us, FORK_NAME, u32::try_from(child).expect("a process id"));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters::NONE
}

/// The child closes first, the parent exits with the descriptor.
fn parent_exits(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    lab.cli.call(FORK_NAME, Action::Fork).expect("forking");
    let close = ActorCommand { name: us.name.clone(), action: Action::Close };
    lab.cli.call(FORK_NAME, Action::In(Box::new(close))).expect("closing in the child");
    lab.await_state(&us, State::Established);
    assert!(lab.cli.exit().success(), "exit status");
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    ends_by_exit(lab, &us, us.actor.name(), us.actor.pid());
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters::NONE
}

fn ends_by_exit(lab: &Lab, us: &End<'_>, comm: &str, pid: u32) {
    lab.close_by(us, comm, pid).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local",
        "local_action": "process_exit", "linger": linger_off(),
    }));
}

/// The descriptor is passed to another process, which closes last. That process also has the peer's end.
fn passed(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    lab.srv.begin(&us.name_elsewhere(), Action::TakeDescriptor);
    us.call(Action::PassDescriptor).expect("passing the descriptor");
    lab.srv.answer().expect("taking the descriptor");
    us.close();
    lab.await_state(&us, State::Established);
    lab.srv.call(&us.name_elsewhere(), Action::Close).expect("closing the descriptor that was passed");
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_by(&us, lab.srv.name(), lab.srv.pid()).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters::NONE
}

/// The process executes another program, with the descriptor close-on-exec. `begin_new_exec` drops the descriptor
/// (`do_close_on_exec`). The last `fput` of a file is deferred to task work, so the process already has its new name.
fn exec(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    lab.cli.begin("", Action::Exec);
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    let program = std::env::current_exe().expect("the name of this program");
    let name: String = program.file_name().expect("a file").to_string_lossy().chars().take(15).collect();
    lab.close_by(&us, &name, lab.cli.pid()).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters::NONE
}

/// The listener closes with an unaccepted connection, and another process's socket reuses the memory of that
/// connection's socket. The close of that socket must not count as the connection's.
fn place_taken(lab: &Lab) -> Counters {
    // The kernel reuses memory that was freed last on the same CPU.
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("asking for our processors");
    let cpu = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap_or(false)).expect("a processor");
    let mut only = CpuSet::new();
    only.set(cpu).expect("the number of a processor");
    for actor in [&lab.cli, &lab.srv] {
        let pid = i32::try_from(actor.pid()).expect("a process id");
        sched_setaffinity(Pid::from_raw(pid), &only).expect("keeping a process on one processor");
    }
    let (us, unaccepted) = lab.unaccepted();
    lab.close_listener();
    let names = (0..TAKEN).map(|number| format!("taker{number}"));
    for name in names.clone() {
        lab.cli.call(&name, Action::Open { ipv6: false }).expect("opening a socket");
    }
    for name in names {
        lab.cli.call(&name, Action::Close).expect("closing a socket");
    }
    us.await_gone();
    us.close();
    lab.close_of(&unaccepted).shows(&json!({
        "outcome": "reset_sent", "cause": "never_accepted", "first_close": "local", "local_action": "none",
    }));
    lab.close_of(&us)
        .shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "first_close": "remote"}));
    Counters { resets_sent: 1, established_reset: 2, ..Counters::NONE }
}

/// Number of sockets that are opened to reuse the memory of one.
const TAKEN: usize = 16;

/// A signal ends a process that has several connections. Each ends as close() would have ended it.
fn sigterm(lab: &Lab) -> Counters {
    killed(lab, Signal::SIGTERM)
}

fn sigkill(lab: &Lab) -> Counters {
    killed(lab, Signal::SIGKILL)
}

fn killed(lab: &Lab, signal: Signal) -> Counters {
    let (idle, busy, abrupt) = ([lab.pair(), lab.pair()], [lab.pair(), lab.pair()], lab.pair());
    for (us, peer) in &busy {
        peer.send(100);
        us.await_readable(100);
        peer.await_acked();
    }
    abrupt.0.linger(0);
    lab.cli.kill(signal);

    for (us, peer) in &idle {
        peer.receive_to_end(0);
        lab.await_state(us, State::FinWait2);
        peer.close();
        lab.close_of(us).shows(&json!({
            "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "killed",
            "linger": linger_off(), "bytes": Bytes::NONE,
        }));
        lab.close_of(peer)
            .shows(&json!({"outcome": "graceful", "cause": "orderly", "local_action": "close"}));
    }
    for (us, peer) in &busy {
        peer.await_gone();
        peer.close();
        lab.close_of(us).shows(&json!({
            "outcome": "reset_sent", "cause": "unread_data", "first_close": "local", "local_action": "killed",
            "bytes": Bytes { unread: 100, ..Bytes::NONE }, "reset": reset_sent_in("ESTABLISHED"),
        }));
        lab.close_of(peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    }
    let (us, peer) = &abrupt;
    peer.await_gone();
    peer.close();
    lab.close_of(us).shows(&json!({
        "outcome": "reset_sent", "cause": "linger_zero", "first_close": "local", "local_action": "killed",
        "linger": {"mode": "zero", "configured_ms": 0}, "reset": reset_sent_in("ESTABLISHED"),
    }));
    lab.close_of(peer).shows(&json!({"outcome": "reset_received", "cause": "peer_reset"}));
    Counters { resets_sent: 3, abort_on_close: 2, abort_on_data: 1, established_reset: 6, ..Counters::NONE }
}

/// io_uring sends and closes, in the submitting system call. A send by io_uring never raises SIGPIPE.
fn uring(lab: &Lab) -> Counters {
    by_uring(lab, false)
}

/// As [`uring`], by a worker thread that the kernel creates in the process.
fn uring_worker(lab: &Lab) -> Counters {
    by_uring(lab, true)
}

fn by_uring(lab: &Lab, in_worker: bool) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    us.receive_to_end(0);
    lab.await_state(&peer, State::FinWait2);
    us.send(100);
    us.await_gone();
    assert_eq!(us.call(Action::UringSend { in_worker }), Err(Errno::EPIPE), "sending by io_uring");
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({"outcome": "reset_received", "cause": "write_after_peer_fin"}));
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "write_after_peer_fin",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "closed_first"}));
    lab.reset_of(&peer).shows(&json!({"cause": "time_wait_data"}));
    us.close();

    let (us, peer) = lab.pair();
    us.call(Action::UringClose { in_worker }).expect("closing by io_uring");
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "first_close": "remote"}));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// Connections that are older than the observer: it knows their end, but not their beginning.
fn older(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let (writer, gone) = lab.pair();
    gone.close();
    writer.receive_to_end(0);
    lab.await_state(&gone, State::FinWait2);
    lab.restart_observer();
    us.close();
    peer.receive_to_end(0);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_of_older(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "missing": ["opening"], "evidence": "exact",
    }));
    lab.close_of_older(&peer).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "missing": ["opening"], "evidence": "exact",
    }));

    // The peer's FIN is older, too: the state shows that it came, but not when.
    writer.send(100);
    writer.await_gone();
    writer.send_fails(Errno::EPIPE);
    let verdict = lab.close_of_older(&writer);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "local_action": "none", "reset": reset_received_in("CLOSE_WAIT"),
        "missing": ["peer_fin", "opening"], "evidence": "inferred",
    }));
    lab.write_error_of(&writer).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "cause": "write_after_peer_fin",
    }));
    lab.reset_of(&gone).shows(&json!({"cause": "time_wait_data"}));
    writer.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// After RST a read gets ECONNRESET. The next write gets EPIPE.
fn write_after_read_error(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.linger(0);
    peer.close();
    us.await_gone();
    assert_eq!(us.call(Action::Receive(1)), Err(Errno::ECONNRESET), "reading after a reset");
    us.send_fails(Errno::EPIPE);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "write_errors": {"EPIPE": 1}}));
    let error = lab.write_error_of(&us);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "peer_reset",
        "since_peer_fin_ms": null,
    }));
    error.lasted("/since_reset_ms", 0.0, 5000.0);
    lab.close_of(&peer).shows(&json!({"outcome": "reset_sent", "cause": "linger_zero"}));
    us.close();
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 2, ..Counters::NONE }
}

/// As [`write_after_read_error`], with RST after the peer's FIN: a read returns the end again, and no error.
fn write_after_read_end(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.close();
    us.receive_to_end(0);
    lab.await_state(&peer, State::FinWait2);
    us.send(100);
    us.await_gone();
    us.receive_to_end(0);
    us.send_fails(Errno::EPIPE);
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "write_errors": {"EPIPE": 1},
    }));
    lab.write_error_of(&us).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "sigpipe": false, "cause": "write_after_peer_fin",
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "cause": "closed_first"}));
    lab.reset_of(&peer).shows(&json!({"cause": "time_wait_data"}));
    us.close();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// A full buffer refuses a thousand writes: that is no error.
fn write_again_and_again(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    let mut written = us.fill();
    for _ in 0..1000 {
        match us.call(Action::Send { bytes: 10, flags: libc::MSG_DONTWAIT }) {
            Err(Errno::EAGAIN) => {}
            // A late acknowledgement made room.
            Ok(bytes) => written += bytes,
            Err(errno) => panic!("writing to a full buffer: {errno}"),
        }
    }
    us.close();
    peer.receive_to_end(written);
    lab.await_state(&us, State::FinWait2);
    peer.close();
    lab.close_of(&us).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "bytes": Bytes::NONE, "write_errors": {},
    }));
    lab.close_of(&peer).shows(&json!({"outcome": "graceful", "bytes": Bytes::NONE, "write_errors": {}}));
    Counters::NONE
}

/// A write fails long after the verdict, and its report still has the verdict's id.
fn write_late(lab: &Lab) -> Counters {
    let (us, peer) = lab.pair();
    peer.linger(0);
    peer.close();
    us.await_gone();
    let verdict = lab.close_of(&us);
    verdict.shows(&json!({"outcome": "reset_received", "cause": "peer_reset", "write_errors": {}}));
    lab.close_of(&peer).shows(&json!({"outcome": "reset_sent", "cause": "linger_zero"}));
    let_pass(Duration::from_secs(2));
    us.send_fails(Errno::ECONNRESET);
    let error = lab.write_error_of(&us);
    error.shows(&json!({
        "close_id": verdict.value("/id"), "errno": "ECONNRESET", "sigpipe": false, "cause": "peer_reset",
    }));
    error.lasted("/since_reset_ms", 2000.0, 5000.0);
    us.close();
    Counters { resets_sent: 1, abort_on_data: 1, established_reset: 2, ..Counters::NONE }
}
