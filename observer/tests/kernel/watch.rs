//! A real observer, watching: started before anything happens, asked at the end whether there is more.
//!
//! It sees the whole machine; only the lines of the test's own network namespace are kept. A line is taken by the
//! assertion that expects it, so what is left at the end was expected by nobody.
//!
//! Where all tests share one observer ([`crate::shared`]) a test cannot end it: it waits for what may still come.

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

/// Loading programs into a busy kernel takes a while.
const READY: Duration = Duration::from_mins(1);

/// A line that a shared observer has not told after this time will not come: it tells none later than 500 ms after
/// what it is about.
const SILENCE: Duration = Duration::from_millis(750);

/// What has an observer compare its reports with the kernel's counters, so often that a test need not wait long.
pub(crate) const AUDIT: [&str; 3] = ["--audit", "--audit-interval", "200ms"];

/// For what an observer said that has been interrupted.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The observer under test.
pub(crate) fn observer() -> OsString {
    std::env::var_os("OBSERVER_TEST_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_observer")))
}

pub(crate) struct Watch {
    /// None when it is shared.
    own: Option<Own>,
    lines: Receiver<Value>,
    /// Comparisons with the kernel's counters of this namespace.
    audits: Receiver<Value>,
    /// When this began, as the observer writes times. A comparison that began earlier is about another namespace of the
    /// same number.
    since: String,
    /// All up to the end of the test has been reported, and compared.
    audited: Cell<bool>,
    /// All that came, in order, with whether a test has taken it.
    seen: RefCell<Vec<(Value, bool)>>,
}

/// An observer of this test's own.
struct Own {
    process: RefCell<Child>,
    messages: Receiver<String>,
    /// What it recorded, which must replay to the same lines.
    recording: PathBuf,
    netns: u64,
}

impl Watch {
    /// Starts the observer, or joins those who share one, and waits until it says that it is ready.
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
        // Unique while the namespace is: one observer at a time watches it.
        let recording = std::env::temp_dir().join(format!("observer-{}-{netns}.jsonl", std::process::id()));
        command.args(["trace", "--output", "json"]).args(AUDIT).arg("--record").arg(&recording);
        let mut observer =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;

        let ((sender, lines), (audit_sender, audits)) = (channel(), channel());
        let output = BufReader::new(observer.stdout.take().expect("a pipe was asked for"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Kept as text, so that a test sees it and fails.
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

        let own = Own { process: RefCell::new(observer), messages, recording, netns };
        // Made before the wait, so that the observer ends with it.
        let audited = Cell::new(false);
        let watch = Self { own: Some(own), lines, audits, since, audited, seen: RefCell::default() };
        watch.own.iter().for_each(|own| await_ready(&own.messages));
        Ok(watch)
    }

    /// The first line not taken before that fits, waiting for it if need be; None when none comes in time.
    pub(crate) fn take(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        eventually(DEADLINE, || {
            let mut seen = self.seen.borrow_mut();
            seen.extend(self.lines.try_iter().map(|line| (line, false)));
            let (line, taken) = seen.iter_mut().find(|(line, taken)| !taken && fits(line))?;
            *taken = true;
            Some(line.clone())
        })
    }

    /// Waits until so many closes have come, and says whether they have; what is missing, the comparison will tell.
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

    /// Waits until the observer compares this namespace, in which a process must be: only what happens then is compared.
    pub(crate) fn await_audit_begun(&self) {
        assert!(self.audit_after(&self.since).is_some(), "the observer does not find the namespace");
    }

    /// Waits until all that has happened was reported and compared with the kernel's counters, and says by how much they
    /// differ. There must still be a process in the namespace.
    pub(crate) fn await_audit(&self) -> Result<(), String> {
        let end = now();
        // A difference is told when the second comparison confirms it.
        let audits = [(); 2].map(|()| self.audit_after(&end));
        let [Some(_), Some(last)] = &audits else {
            return Err(format!("the observer does not compare the namespace any more: {audits:?}"));
        };
        let differences = last["differences"].as_object().expect("differences");
        if differences.values().any(|by| by.as_i64().is_some_and(|by| by != 0)) {
            return Err(format!("the kernel and the reports differ (kernel minus reported): {last}"));
        }
        self.audited.set(true);
        Ok(())
    }

    /// The next comparison with a sample that was taken later.
    fn audit_after(&self, time: &str) -> Option<Value> {
        let is_later =
            |audit: &Value, key: &str, time: &str| audit[key].as_str().is_some_and(|its| its > time);
        eventually(DEADLINE, || {
            self.audits
                .try_iter()
                .find(|audit| is_later(audit, "since", &self.since) && is_later(audit, "time", time))
        })
    }

    /// What it has said on standard error since it was ready, but for its last words on what it compared on the whole
    /// machine.
    pub(crate) fn messages(&self) -> Vec<String> {
        let messages = self.own.iter().flat_map(|own| own.messages.try_iter());
        messages.filter(|message| !message.contains("audit: ")).collect()
    }

    /// Whether a line came that is so.
    pub(crate) fn any(&self, is_so: impl Fn(&Value) -> bool) -> bool {
        self.seen.borrow().iter().any(|(line, _)| is_so(line))
    }

    /// Ends the observer as a person would, and returns the lines that nobody took.
    pub(crate) fn finish(&self) -> Vec<Value> {
        let mut seen = self.seen.borrow_mut();
        if let Some(own) = &self.own {
            let Some(status) = own.interrupt() else { panic!("the observer does not end when interrupted") };
            assert!(status.success(), "the observer ended with {status}");
            // Until the output is closed, which it is: the observer has ended.
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

    /// All that came, for the message of a test that failed. The observer is ended for it: a line that came too late
    /// is another matter than one that never came, and its last words say whether it lost records.
    pub(crate) fn dump(&self) -> String {
        let ended = self.own.as_ref().map_or_else(
            || "shared, it goes on".to_owned(),
            |own| own.interrupt().map_or_else(|| "does not end".to_owned(), |status| status.to_string()),
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

impl Own {
    /// Without the kernel, the recording must give the lines that came live.
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
        // One that has been waited for keeps its status, and its process id may be another's by now.
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

/// Whether the line is a comparison with the kernel's counters.
pub(crate) fn is_audit(line: &Value) -> bool {
    line["kind"] == "audit"
}

/// The namespace that the line is about.
pub(crate) fn netns_of(line: &Value) -> Option<u64> {
    line.pointer("/connection/netns").or_else(|| line.get("netns"))?.as_u64()
}

/// Waits until the observer that says this says that it is ready.
pub(crate) fn await_ready(messages: &Receiver<String>) {
    let end = Instant::now() + READY;
    let mut said = Vec::new();
    loop {
        match messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains("ready") => return,
            Ok(line) => said.push(line),
            Err(error) => {
                panic!("the observer does not get ready ({error}); it said:\n{}", said.join("\n"))
            }
        }
    }
}

/// Lines without what a replay cannot know: the names of another host's cgroups, and the time of day, which somebody may
/// have set meanwhile. The id has the time by the clock that nobody sets.
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

impl Drop for Own {
    fn drop(&mut self) {
        // Not there when it never got ready.
        std::fs::remove_file(&self.recording).ok();
        // Fails only when it has ended and been waited for.
        let observer = self.process.get_mut();
        if observer.kill().is_ok() {
            observer.wait().ok();
        }
    }
}
