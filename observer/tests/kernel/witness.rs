//! What the kernel keeps from every BPF program, and so from the observer.
//!
//! A hardened kernel may shield its first process: not even root looks into it, and no BPF program runs while it is on
//! the CPU. A timer or a packet that is handled in that moment is seen by nobody, and the test that waits for it
//! fails through no fault of the observer's. Ftrace still sees it: a test that failed while the shielded process was
//! interrupted by TCP runs again, and of many connections at once those are left out.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libtest_mimic::Failed;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Runs of one test at most.
const RUNS: u32 = 5;

/// The events after which the observer knows more.
const EVENTS: [&str; 3] = ["sock/inet_sock_set_state", "tcp/tcp_send_reset", "tcp/tcp_receive_reset"];

/// One for all tests.
static WITNESS: Mutex<Called> = Mutex::new(Called::NotYet);

enum Called {
    NotYet,
    /// This kernel shields nobody, or has no ftrace.
    NotNeeded,
    Here(Witness),
}

/// An instance of ftrace that traces the shielded process.
struct Witness {
    instance: PathBuf,
    mounted: PathBuf,
}

/// Runs a test, and again when it failed while something happened that no program could see.
pub(crate) fn sees_all(test: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    for _ in 1..RUNS {
        let before = hidden().len();
        match test() {
            Err(failed) if hidden().len() > before => eprintln!(
                "once more: TCP events happened in the machine's first process, in which its kernel runs no BPF program; \
                 {}",
                failed.message().unwrap_or_default()
            ),
            outcome => return outcome,
        }
    }
    test()
}

/// The ports, local and remote, of each event that was hidden so far.
pub(crate) fn hidden() -> Vec<(u16, u16)> {
    let mut called = WITNESS.lock().expect("no test panics here");
    if let Called::NotYet = *called {
        *called = match Witness::call() {
            Ok(Some(witness)) => Called::Here(witness),
            Ok(None) => Called::NotNeeded,
            Err(error) => {
                eprintln!("no ftrace to see what no BPF program sees: {error}");
                Called::NotNeeded
            }
        };
    }
    match &*called {
        Called::Here(witness) => witness.trace().lines().filter_map(ports).collect(),
        Called::NotYet | Called::NotNeeded => Vec::new(),
    }
}

/// Of a line of the trace: `… sport=1 dport=2 …` or `… src=127.0.0.1:1 dest=127.0.0.1:2 …`. None where another process
/// is seen: the shielded one's children are traced with its new threads, and nothing of theirs is hidden.
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

/// After the last test: leaves ftrace as it was.
pub(crate) fn dismiss() {
    *WITNESS.lock().expect("no test panics here") = Called::NotNeeded;
}

impl Witness {
    fn call() -> io::Result<Option<Self>> {
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
        let witness = Self { instance, mounted };
        let threads = fs::read_dir("/proc/1/task")?.map(|thread| Ok(thread?.file_name()));
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        let threads: Vec<_> = threads.iter().map(|thread| thread.to_string_lossy()).collect();
        witness.set("options/event-fork", "1")?;
        witness.set("options/record-tgid", "1")?;
        witness.set("set_event_pid", &threads.join(" "))?;
        for event in EVENTS {
            witness.set(&format!("events/{event}/enable"), "1")?;
        }
        Ok(Some(witness))
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.instance.join(file), value)
    }

    fn trace(&self) -> String {
        fs::read_to_string(self.instance.join("trace")).expect("reading the trace")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // Best effort: what is left behind costs a few kilobytes and is gone at the next boot.
        fs::remove_dir(&self.instance).ok();
        umount2(&self.mounted, MntFlags::MNT_DETACH).ok();
        fs::remove_dir(&self.mounted).ok();
    }
}
