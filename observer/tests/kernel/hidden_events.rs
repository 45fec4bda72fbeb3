//! Events that the kernel hides from every BPF program, and so from the observer.
//!
//! A hardened kernel may shield its first process: even root cannot inspect it, and no BPF program runs while it is on
//! the CPU. The observer then misses a timer or a packet that the kernel handles at that moment. Ftrace still sees it.
//! A test that failed while TCP interrupted the shielded process runs again. Tests with many connections leave out
//! those that were hidden.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libtest_mimic::Failed;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Most runs of one test.
const RUNS: u32 = 5;

/// The events that the observer needs.
const EVENTS: [&str; 3] = ["sock/inet_sock_set_state", "tcp/tcp_send_reset", "tcp/tcp_receive_reset"];

/// One trace for all tests.
static TRACE: Mutex<TraceState> = Mutex::new(TraceState::NotStarted);

enum TraceState {
    NotStarted,
    /// This kernel shields no process, or has no ftrace.
    NotNeeded,
    Running(Trace),
}

/// An instance of ftrace that traces the shielded process.
struct Trace {
    instance: PathBuf,
    mounted: PathBuf,
}

/// Runs a test. Runs it again if it failed while the kernel hid an event.
pub(crate) fn retry_if_hidden(test: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    for _ in 1..RUNS {
        let before = hidden().len();
        match test() {
            Err(failed) if hidden().len() > before => eprintln!(
                "running again: the kernel handled TCP events in its first process, where it runs no BPF program; \
                 {}",
                failed.message().unwrap_or_default()
            ),
            outcome => return outcome,
        }
    }
    test()
}

/// The local and remote port of each event that was hidden so far.
pub(crate) fn hidden() -> Vec<(u16, u16)> {
    let mut state = TRACE.lock().expect("no test panics here");
    if let TraceState::NotStarted = *state {
        *state = match Trace::start() {
            Ok(Some(trace)) => TraceState::Running(trace),
            Ok(None) => TraceState::NotNeeded,
            Err(error) => {
                eprintln!("ftrace is unavailable, so hidden events stay unnoticed: {error}");
                TraceState::NotNeeded
            }
        };
    }
    match &*state {
        TraceState::Running(trace) => trace.text().lines().filter_map(ports).collect(),
        TraceState::NotStarted | TraceState::NotNeeded => Vec::new(),
    }
}

/// The ports of a trace line: `… sport=1 dport=2 …` or `… src=127.0.0.1:1 dest=127.0.0.1:2 …`. None for another
/// process: ftrace also traces the children of the shielded process, whose events are not hidden.
fn ports(line: &str) -> Option<(u16, u16)> {
    // NAME-THREAD (PROCESS) [CPU] …
    let (_, process) = line.split_once(") [").and_then(|(start, _)| start.rsplit_once('('))?;
    if process.trim().parse() != Ok(1) {
        return None;
    }
    let word = |names: [&str; 2]| {
        let value = line.split(' ').find_map(|word| names.iter().find_map(|name| word.strip_prefix(name)))?;
        value.rsplit(':').next()?.parse().ok()
    };
    Some((word(["sport=", "src="])?, word(["dport=", "dest="])?))
}

/// Removes the trace after the last test.
pub(crate) fn stop_trace() {
    *TRACE.lock().expect("no test panics here") = TraceState::NotNeeded;
}

impl Trace {
    fn start() -> io::Result<Option<Self>> {
        let shielded =
            fs::read_link("/proc/1/ns/net").is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
        if !shielded {
            return Ok(None);
        }
        let mounted = std::env::temp_dir().join(format!("observer-tracefs-{}", std::process::id()));
        fs::create_dir(&mounted)?;
        mount(None::<&Path>, &mounted, Some("tracefs"), MsFlags::empty(), None::<&Path>)?;
        let instance = mounted.join("instances").join(format!("observer-tests-{}", std::process::id()));
        fs::create_dir(&instance)?;
        let trace = Self { instance, mounted };
        let threads = fs::read_dir("/proc/1/task")?.map(|thread| Ok(thread?.file_name()));
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        let threads: Vec<_> = threads.iter().map(|thread| thread.to_string_lossy()).collect();
        trace.set("options/event-fork", "1")?;
        trace.set("options/record-tgid", "1")?;
        trace.set("set_event_pid", &threads.join(" "))?;
        for event in EVENTS {
            trace.set(&format!("events/{event}/enable"), "1")?;
        }
        Ok(Some(trace))
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.instance.join(file), value)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.instance.join("trace")).expect("reading the trace")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Best effort: a leftover costs a few kilobytes until the next boot.
        fs::remove_dir(&self.instance).ok();
        umount2(&self.mounted, MntFlags::MNT_DETACH).ok();
        fs::remove_dir(&self.mounted).ok();
    }
}
