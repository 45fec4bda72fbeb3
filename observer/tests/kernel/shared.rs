//! One observer for all tests, with `OBSERVER_TEST_SHARED=1`. On an emulated machine the start of an observer takes
//! longer than the rest of a test. Each test gets the lines of its network namespace.
//!
//! The tests then do not check how an observer ends, nor that its recording replays.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait::{DEADLINE, eventually};
use crate::watch::{AUDIT, await_ready, is_audit, netns_of, observer};

/// The first test starts it.
static SHARED: OnceLock<Mutex<Shared>> = OnceLock::new();

struct Shared {
    observer: Child,
    messages: Receiver<String>,
    /// The receivers of each test, by network namespace: of reports and of audits.
    tests: HashMap<u64, [Sender<Value>; 2]>,
}

/// Whether `OBSERVER_TEST_SHARED=1` is set.
pub(crate) fn wanted() -> bool {
    std::env::var_os("OBSERVER_TEST_SHARED").is_some_and(|wanted| wanted == "1")
}

/// The reports and the audits of this namespace from now on.
pub(crate) fn lines_of(netns: u64) -> (Receiver<Value>, Receiver<Value>) {
    let shared = SHARED.get_or_init(|| Mutex::new(Shared::start()));
    let ((sender, lines), (audit_sender, audits)) = (channel(), channel());
    lock(shared).tests.insert(netns, [sender, audit_sender]);
    (lines, audits)
}

/// Ends the shared observer, if a test started it, and prints its messages. Returns false if it did not end with
/// success.
pub(crate) fn ends_well() -> bool {
    let Some(shared) = SHARED.get() else { return true };
    let pid = lock(shared).observer.id();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT).expect("interrupting the observer");
    let status = eventually(DEADLINE, || lock(shared).observer.try_wait().expect("waiting for the observer"));
    for message in lock(shared).messages.try_iter() {
        eprintln!("the shared observer said: {message}");
    }
    match status {
        Some(status) if status.success() => return true,
        Some(status) => eprintln!("the shared observer ended with {status}"),
        None => eprintln!("the shared observer does not end when interrupted"),
    }
    false
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A panic cannot leave the map half changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn start() -> Self {
        let mut command = Command::new(observer());
        command.args(["trace", "--output", "json"]).args(AUDIT).stdin(Stdio::null());
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut observer = spawned.expect("starting the observer");

        let output = BufReader::new(observer.stdout.take().expect("a pipe was asked for"));
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| pass_on(&line)));
        let (sender, messages) = channel();
        let errors = BufReader::new(observer.stderr.take().expect("a pipe was asked for"));
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));

        await_ready(&messages);
        Self { observer, messages, tests: HashMap::new() }
    }
}

/// Passes a line to the test whose namespace it names, or to all tests if it names none: one of them then fails.
fn pass_on(line: &str) {
    // A line that is not JSON is kept as text, so that a test sees it and fails.
    let value = serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()));
    // Lines that come before the first test are of no test.
    let Some(shared) = SHARED.get() else { return };
    let shared = lock(shared);
    let netns = netns_of(&value);
    let concerned = shared.tests.iter().filter(|(its, _)| netns.is_none_or(|netns| netns == **its));
    for (_, [reports, audits]) in concerned {
        let test = if is_audit(&value) { audits } else { reports };
        // A test that has ended hears nothing.
        test.send(value.clone()).ok();
    }
}
