//! The daemon's event log, on a disk that is full for a while, and in systemd's journal.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use libtest_mimic::{Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::daemon::Daemon;
use crate::retry::retry_in_lab;
use crate::service::{directory, is_skipped, one_close};
use crate::wait::{DEADLINE, eventually};

/// Process name of the observed process. No other test uses it.
const OBSERVED: &str = "log-observed";

const LOST: &str = "observer_event_log_lost_total{reason=\"write_failed\"}";

/// The cause of the end that the test looks for. The other end has its own line, before or after.
const CAUSE: &str = "linger_zero";

pub(crate) fn trial() -> Trial {
    Trial::test("event_log", || retry_in_lab("event_log", run))
}

fn run() -> Result<(), Failed> {
    if is_skipped() {
        return Ok(());
    }
    let directory = directory("event-log")?;
    let (disk, run) = (directory.join("disk"), directory.join("run"));
    fs::create_dir(&disk)?;
    fs::create_dir_all(run.join("systemd/journal"))?;
    let entries = journal(&run.join("systemd/journal/socket"))?;
    let log = disk.join("events.jsonl");
    let config = directory.join("observer.yaml");
    fs::write(&config, format!("event_log: {{path: {}, journal: true}}\n", log.display()))?;
    let daemon = Daemon::start(|command| {
        with_own_disk(command.arg("--config").arg(&config), &disk, &run);
    })?;
    // The paths in the daemon's mount namespace.
    let root = format!("/proc/{}/root", daemon.pid());
    let [disk, log] =
        [disk, log].map(|path| Path::new(&root).join(path.strip_prefix("/").expect("absolute")));
    let find = || {
        fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .find(|line| line.contains(OBSERVED) && line.contains(CAUSE))
            .map(str::to_owned)
    };

    one_close(OBSERVED)?;
    let line = eventually(DEADLINE, find).expect("a line in the event log");
    let line: serde_json::Value = serde_json::from_str(&line)?;
    assert_eq!((&line["kind"], &line["cause"]), (&"close".into(), &CAUSE.into()), "{line}");
    let entry = eventually(DEADLINE, || {
        entries.try_iter().find(|entry| entry.contains(OBSERVED) && entry.contains(CAUSE))
    });
    let entry = entry.expect("an entry in the journal");
    for part in
        ["SYSLOG_IDENTIFIER=observer\n", "OBSERVER_KIND", "OBSERVER_CAUSE", "linger_zero\n", "\"schema\":1"]
    {
        assert!(entry.contains(part), "{part:?} is not in {entry:?}");
    }

    let filler = disk.join("filler");
    fill(&filler)?;
    let lost = || daemon.value(LOST).filter(|lost| lost != "0");
    // The rest of the last block still takes some lines.
    let is_lost = eventually(DEADLINE, || one_close(OBSERVED).ok().and_then(|()| lost()));
    assert!(is_lost.is_some(), "no line was lost on a full disk");
    let error = daemon.message("cannot be written");
    assert!(error.contains("events.jsonl") && error.contains("No space left"), "{error}");

    fs::remove_file(&filler)?;
    one_close(OBSERVED)?;
    // The error is logged once: the next message about the log says that it works again.
    let next = daemon.message("event log");
    assert!(next.contains("is written again"), "{next}");
    let text = fs::read_to_string(&log)?;
    assert!(text.ends_with('\n'), "the log ends in half a line");
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        assert_ne!(line["outcome"], "graceful", "graceful closes are not configured");
    }
    drop(daemon);
    fs::remove_dir_all(directory)?;
    Ok(())
}

/// Reads all entries, like a journal. Unread entries would block the writer.
fn journal(path: &Path) -> io::Result<Receiver<String>> {
    let socket = UnixDatagram::bind(path)?;
    let (sender, entries) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                break;
            }
        }
    });
    Ok(entries)
}

/// Gives the daemon a small disk and a journal in a mount namespace of its own, which ends with it.
fn with_own_disk(command: &mut Command, disk: &Path, run: &Path) {
    let (disk, run) = (disk.to_owned(), run.to_owned());
    let mounts = move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let (none, nothing) = (None::<&str>, MsFlags::empty());
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("tmpfs"), &disk, Some("tmpfs"), nothing, Some("size=4m"))?;
        mount(Some(&run), "/run", none, MsFlags::MS_BIND, none)?;
        io::Result::Ok(())
    };
    // SAFETY: only system calls, on memory that exists before the fork.
    unsafe {
        command.pre_exec(mounts);
    }
}

/// Writes until the disk is full.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    loop {
        match file.write_all(&[0; 4096]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
