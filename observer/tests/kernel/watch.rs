//! A real observer that watches a test: started before the scenario, and checked for unexpected lines at its end.
//!
//! The observer reports on the whole machine. Only the lines of the test's own network namespace are kept. Each
//! assertion takes the line that it expects, so every line that is left at the end is unexpected.
//!
//! If all tests share one observer ([`crate::shared`]), a test cannot end it. The test waits for lines that may still
//! come.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use observer::source::clock::{ClockOffset, monotonic_ns};
use serde_json::Value;

use crate::wait::{DEADLINE, eventually, let_pass};
use crate::{recorded, shared};

/// Longest time until an observer is ready: a busy kernel loads programs slowly.
const READY: Duration = Duration::from_mins(1);

/// A shared observer reports each event within 500 ms. After this time no line can follow.
const SILENCE: Duration = Duration::from_millis(750);

/// Arguments that make the observer audit its reports, often enough that a test does not wait long.
pub(crate) const AUDIT: [&str; 3] = ["--audit", "--audit-interval", "200ms"];

/// The time to read the last lines of an observer that was interrupted.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The observer under test.
pub(crate) fn observer() -> OsString {
    std::env::var_os("OBSERVER_TEST_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_observer")))
}

pub(crate) struct Watch {
    /// None when it is shared.
    own: Option<OwnObserver>,
    lines: Receiver<Value>,
    /// The audits of this namespace.
    audits: Receiver<Value>,
    /// The start of this watch, as the observer writes times. An audit that began earlier is about another namespace
    /// with the same number.
    since: String,
    /// Everything up to the end of the test was reported and audited.
    audited: Cell<bool>,
    /// All lines in order, each with whether the test has taken it.
    seen: RefCell<Vec<(Value, bool)>>,
}

/// The observer of one test.
struct OwnObserver {
    process: RefCell<Child>,
    messages: Receiver<String>,
    /// Its recording, which must replay to the same lines.
    recording: PathBuf,
    netns: u64,
}

impl Watch {
    /// Starts an observer, or joins the shared one. Waits until it is ready.
    pub(crate) fn start(netns: u64) -> io::Result<Self> {
        if shared::wanted() {
            let since = now();
            let (lines, audits) = shared::lines_of(netns);
            let audited = Cell::new(false);
            return Ok(Self { own: None, lines, audits, since, audited, seen: RefCell::default() });
        }
        Self::start_own(netns)
    }

    /// Starts an observer for this test alone.
    pub(crate) fn start_own(netns: u64) -> io::Result<Self> {
        let since = now();
        let mut command = Command::new(observer());
        // The name is unique: one observer at a time watches this namespace.
        let recording = std::env::temp_dir().join(format!("observer-{}-{netns}.jsonl", std::process::id()));
        command.args(["trace", "--output", "json"]).args(AUDIT).arg("--record").arg(&recording);
        let mut observer =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;

        let ((sender, lines), (audit_sender, audits)) = (channel(), channel());
        let output = BufReader::new(observer.stdout.take().expect("a pipe was asked for"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // A line that is not JSON is kept as text, so that the test sees it and fails.
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let sender = if is_audit(&value) { &audit_sender } else { &sender };
                if netns_of(&value).is_none_or(|its| its == netns) && sender.send(value).is_err() {
                    break;
                }
            }
        });
        let (sender, messages) = channel();
        let errors = BufReader::new(observer.stderr.take().expect("a pipe was asked for"));
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));

        let own = OwnObserver { process: RefCell::new(observer), messages, recording, netns };
        // Made before the wait, so that a panic there ends the observer.
        let audited = Cell::new(false);
        let watch = Self { own: Some(own), lines, audits, since, audited, seen: RefCell::default() };
        watch.own.iter().for_each(|own| await_ready(&own.messages));
        Ok(watch)
    }

    /// Takes the first matching line that was not taken before, and waits for it. None if none comes in time.
    pub(crate) fn take(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        eventually(DEADLINE, || {
            let mut seen = self.seen.borrow_mut();
            seen.extend(self.lines.try_iter().map(|line| (line, false)));
            let (line, taken) = seen.iter_mut().find(|(line, taken)| !taken && fits(line))?;
            *taken = true;
            Some(line.clone())
        })
    }

    /// Waits until this many closes have come. Returns whether they have.
    pub(crate) fn await_closes(&self, number: usize, deadline: Duration) -> bool {
        let closes =
            |lines: &[(Value, bool)]| lines.iter().filter(|(line, _)| line["kind"] == "close").count();
        let mut seen = self.seen.borrow_mut();
        let (mut came, mut looked) = (0, 0);
        let all = eventually(deadline, || {
            seen.extend(self.lines.try_iter().map(|line| (line, false)));
            came += closes(&seen[looked..]);
            looked = seen.len();
            (came >= number).then_some(())
        });
        all.is_some()
    }

    /// Waits until the observer audits this namespace, which must contain a process. Only later events are audited.
    pub(crate) fn await_audit_begun(&self) {
        assert!(self.audit_after(&self.since).is_some(), "the observer did not find the namespace");
    }

    /// Waits until everything so far was reported and audited. Fails with the difference between the kernel's counters
    /// and the reports. The namespace must still contain a process.
    pub(crate) fn await_audit(&self) -> Result<(), String> {
        let end = now();
        // A difference is reported once a second audit confirms it.
        let audits = [(); 2].map(|()| self.audit_after(&end));
        let [Some(_), Some(last)] = &audits else {
            return Err(format!("the observer no longer audits the namespace: {audits:?}"));
        };
        let differences = last["differences"].as_object().expect("differences");
        if differences.values().any(|by| by.as_i64().is_some_and(|by| by != 0)) {
            return Err(format!("the kernel and the reports differ (kernel minus reported): {last}"));
        }
        self.audited.set(true);
        Ok(())
    }

    /// The next audit whose sample is later than `time`.
    fn audit_after(&self, time: &str) -> Option<Value> {
        let is_later =
            |audit: &Value, key: &str, time: &str| audit[key].as_str().is_some_and(|its| its > time);
        eventually(DEADLINE, || {
            self.audits
                .try_iter()
                .find(|audit| is_later(audit, "since", &self.since) && is_later(audit, "time", time))
        })
    }

    /// Its messages on standard error since it was ready, without the audit's summary of the whole machine.
    pub(crate) fn messages(&self) -> Vec<String> {
        let messages = self.own.iter().flat_map(|own| own.messages.try_iter());
        messages.filter(|message| !message.contains("audit: ")).collect()
    }

    /// Whether a line came for which this holds.
    pub(crate) fn any(&self, is_so: impl Fn(&Value) -> bool) -> bool {
        self.seen.borrow().iter().any(|(line, _)| is_so(line))
    }

    /// Ends the observer by SIGINT. Returns the lines that the test did not take.
    pub(crate) fn finish(&self) -> Vec<Value> {
        let mut seen = self.seen.borrow_mut();
        if let Some(own) = &self.own {
            let Some(status) = own.interrupt() else { panic!("the observer did not end after SIGINT") };
            assert!(status.success(), "the observer ended with {status}");
            // The observer has ended, so this reads up to the end of its output.
            seen.extend(self.lines.iter().map(|line| (line, false)));
            own.replay(seen.iter().map(|(line, _)| line.clone()));
        } else {
            if !self.audited.get() {
                let_pass(SILENCE);
            }
            seen.extend(self.lines.try_iter().map(|line| (line, false)));
        }
        seen.iter().filter(|(_, taken)| !taken).map(|(line, _)| line.clone()).collect()
    }

    /// All lines, for the message of a test that failed. This ends the observer: a late line differs from one that
    /// never came, and its last messages say whether it lost records.
    pub(crate) fn dump(&self) -> String {
        let ended = self.own.as_ref().map_or_else(
            || "shared, still running".to_owned(),
            |own| own.interrupt().map_or_else(|| "did not end".to_owned(), |status| status.to_string()),
        );
        let mut seen = self.seen.borrow_mut();
        while let Ok(line) = self.lines.recv_timeout(LAST_WORDS) {
            seen.push((line, false));
        }
        let mark = |taken| if taken { '+' } else { '-' };
        let lines = seen.iter().map(|(line, taken)| format!("{} {line}\n", mark(*taken)));
        let messages = self.messages().into_iter().map(|line| format!("stderr: {line}\n"));
        let text: String = lines.chain(messages).collect();
        format!("the observer ({ended}) reported ('+' was expected, '-' was not or came too late):\n{text}")
    }
}

impl OwnObserver {
    /// Checks that the recording, replayed without the kernel, gives the same lines as the live observer.
    fn replay(&self, live: impl Iterator<Item = Value>) {
        let mut command = Command::new(observer());
        command.args(["replay", "--output", "json"]).arg(&self.recording);
        let output = command.stdin(Stdio::null()).output().expect("replaying the recording");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code < 2), "the replay failed: {errors}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let replayed = lines.filter(|line| line.pointer("/connection/netns") == Some(&self.netns.into()));
        recorded::leave_out(&self.recording, self.netns);
        let (live, replayed) = (comparable(live), comparable(replayed));
        let missing: Vec<_> = live.difference(&replayed).collect();
        let added: Vec<_> = replayed.difference(&live).collect();
        assert!(missing.is_empty() && added.is_empty(), "live: {missing:#?}\nreplayed: {added:#?}");
    }

    fn interrupt(&self) -> Option<ExitStatus> {
        let mut observer = self.process.borrow_mut();
        let pid = Pid::from_raw(i32::try_from(observer.id()).expect("a process id"));
        // After wait() its process id may belong to another process, so it gets no signal then.
        if observer.try_wait().expect("waiting for the observer").is_none() {
            kill(pid, Signal::SIGINT).expect("interrupting the observer");
        }
        eventually(DEADLINE, || observer.try_wait().expect("waiting for the observer"))
    }
}

/// Now, as the observer writes times.
fn now() -> String {
    ClockOffset::now().rfc3339(monotonic_ns())
}

/// Whether the line is an audit.
pub(crate) fn is_audit(line: &Value) -> bool {
    line["kind"] == "audit"
}

/// The network namespace that the line names.
pub(crate) fn netns_of(line: &Value) -> Option<u64> {
    line.pointer("/connection/netns").or_else(|| line.get("netns"))?.as_u64()
}

/// Waits until the observer with these messages says that it is ready.
pub(crate) fn await_ready(messages: &Receiver<String>) {
    let end = Instant::now() + READY;
    let mut said = Vec::new();
    loop {
        match messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains("ready") => return,
            Ok(line) => said.push(line),
            Err(error) => {
                panic!("the observer did not get ready ({error}); its messages:\n{}", said.join("\n"))
            }
        }
    }
}

/// Lines without the fields that a replay cannot know: the names of cgroups, and the time of day, whose clock may have
/// been set meanwhile. The id still has the monotonic time.
fn comparable(lines: impl Iterator<Item = Value>) -> BTreeSet<String> {
    let without = |mut line: Value| {
        line.as_object_mut().map(|line| line.remove("time"));
        if let Some(process) = line.get_mut("process").and_then(Value::as_object_mut) {
            process.retain(|key, _| !matches!(key.as_str(), "cgroup" | "unit" | "container"));
        }
        line.to_string()
    };
    lines.map(without).collect()
}

impl Drop for OwnObserver {
    fn drop(&mut self) {
        // The file is missing if the observer never got ready.
        std::fs::remove_file(&self.recording).ok();
        // This fails only if the observer has ended already.
        let observer = self.process.get_mut();
        if observer.kill().is_ok() {
            observer.wait().ok();
        }
    }
}
