//! The daemon as a service: its capabilities, its messages to the service manager, and a reload of its configuration.

use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use caps::{CapSet, Capability, CapsHashSet};
use libtest_mimic::{Failed, Trial};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_keepcaps;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, setgroups, setresgid, setresuid};

use crate::actor::{Action, Actor};
use crate::daemon::Daemon;
use crate::netns::Netns;
use crate::retry::retry_in_lab;
use crate::wait::{DEADLINE, eventually};
use crate::watch::observer;

/// The daemon's unit file.
const UNIT: &str = include_str!("../../../config/observer.service");

/// The capabilities that the daemon keeps after its start.
const KEPT: [Capability; 2] = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE];

/// Process name of the observed process. No other test uses it.
const OBSERVED: &str = "rights-observed";

/// Unused user ids, of the daemon and of the asking process.
const DAEMON: u32 = 61_817;
const ASKER: u32 = 61_818;

pub(crate) fn trials() -> [Trial; 4] {
    [
        Trial::test("service_rights", || retry_in_lab("service_rights", rights)),
        Trial::test("service_manager", || retry_in_lab("service_manager", manager)),
        Trial::test("service_reload", || retry_in_lab("service_reload", reload)),
        Trial::test("service_query_group", || retry_in_lab("service_query_group", query_group)),
    ]
}

/// Whether the tests run without an observer (`OBSERVER_TEST_KERNEL_ONLY=1`).
pub(crate) fn is_skipped() -> bool {
    std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1")
}

/// Whether this kernel needs CAP_BPF to read an open map: before 5.19, if unprivileged BPF is disabled.
fn reading_takes_rights() -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let release = read("osrelease");
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < (5, 19) && read("unprivileged_bpf_disabled").trim() != "0"
}

fn rights() -> Result<(), Failed> {
    if is_skipped() {
        return Ok(());
    }
    let given: Vec<Capability> = given().collect();
    let mine = given.clone();
    let daemon = Daemon::start(|command| limit(command, mine))?;
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.pid()))?.flatten() {
        let status = std::fs::read_to_string(thread.path().join("status"))?;
        let held = |set: &str| {
            let hex = status.lines().find_map(|line| line.strip_prefix(set)).expect("a set of capabilities");
            u64::from_str_radix(hex.trim(), 16).expect("hexadecimal")
        };
        let kept = bits(&KEPT) | if reading_takes_rights() { bits(&[Capability::CAP_BPF]) } else { 0 };
        assert_eq!((held("CapEff:"), held("CapPrm:")), (kept, kept), "{status}");
        assert_eq!((held("CapInh:"), held("CapAmb:")), (0, 0), "{status}");
        // The bounding set limits what an executed program can gain to the unit's capabilities.
        assert_eq!(held("CapBnd:"), bits(&given), "{status}");
    }

    // With these capabilities it still reports, and can read its own counters.
    one_close(OBSERVED)?;
    let closes = format!(
        "observer_tcp_closes_total{{cause=\"linger_zero\",first_close=\"local\",\
                          outcome=\"reset_sent\",owner=\"{OBSERVED}\"}}"
    );
    let counted = eventually(DEADLINE, || daemon.value(&closes));
    assert_eq!(counted.as_deref(), Some("1"));
    assert_eq!(daemon.value("observer_records_lost_total{reason=\"ring_full\"}").as_deref(), Some("0"));
    Ok(())
}

/// The capabilities in the unit's bounding set.
fn given() -> impl Iterator<Item = Capability> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names = line.expect("a bounding set").split(' ');
    names.map(|name| name.parse().expect("a capability"))
}

fn bits(capabilities: &[Capability]) -> u64 {
    capabilities.iter().map(Capability::bitmask).fold(0, |bits, one| bits | one)
}

/// Limits the bounding set to these capabilities: a program that root executes gets no others.
fn limit(command: &mut Command, given: Vec<Capability>) {
    let drop_others = move || {
        for capability in caps::read(None, CapSet::Bounding).map_err(std::io::Error::other)? {
            if !given.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability).map_err(std::io::Error::other)?;
            }
        }
        // As the unit's LimitMEMLOCK=infinity: maps need it before 5.11. Root in a container may be unable to raise it.
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).ok();
        Ok(())
    };
    // SAFETY: only system calls, and an allocation. Another thread of the parent may be allocating at the fork; glibc
    // makes its allocator safe for that.
    unsafe {
        command.pre_exec(drop_others);
    }
}

/// Makes a connection of a process to itself, and ends it by RST.
pub(crate) fn one_close(name: &'static str) -> Result<(), Failed> {
    let netns = Netns::new()?;
    let actor = Actor::start(name, &netns)?;
    crate::gauges::connect(&actor);
    actor.call("server", Action::Linger(Some(0))).expect("setting SO_LINGER");
    actor.call("server", Action::Close).expect("closing");
    Ok(())
}

fn manager() -> Result<(), Failed> {
    if is_skipped() {
        return Ok(());
    }
    let directory = directory("manager")?;
    let config = directory.join("observer.yaml");
    std::fs::write(&config, "owner: {limit: 5}\n")?;
    let path = directory.join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let daemon = Daemon::start(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").arg("--config").arg(&config);
    })?;
    let next = || -> Result<String, Failed> {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let next_but_watchdog = || loop {
        let said = next()?;
        if !said.starts_with("WATCHDOG=1") {
            return Ok::<_, Failed>(said);
        }
    };

    let ready = next()?;
    assert!(ready.starts_with("READY=1\nSTATUS=") && ready.contains("hooks attached"), "{ready:?}");
    for _ in 0..3 {
        let ping = next()?;
        assert!(ping.starts_with("WATCHDOG=1"), "{ping:?}");
    }
    daemon.signal(Signal::SIGHUP);
    let reloading = next_but_watchdog()?;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(next_but_watchdog()?.trim_end(), "READY=1");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(next_but_watchdog()?.trim_end(), "STOPPING=1");
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn reload() -> Result<(), Failed> {
    if is_skipped() {
        return Ok(());
    }
    let directory = directory("reload")?;
    let config = directory.join("observer.yaml");
    std::fs::write(&config, "owner: {by: comm}\n")?;
    let daemon = Daemon::start(|command| {
        // Flags override the file, also after a reload.
        command.args(["--owner-limit", "50", "--config"]).arg(&config);
    })?;
    let reload = |text: &str| {
        std::fs::write(&config, text).expect("writing the configuration");
        daemon.signal(Signal::SIGHUP);
    };

    reload(
        "owner: {by: none, limit: 7}\nkernel: {ring_size: 16MiB, drain_interval: 20ms}\nlisten: {address: '[::]:1'}\n\
         history: {closes: 1}\n",
    );
    let waiting = daemon.message("only after a restart");
    assert!(waiting.ends_with(": kernel.ring_size"), "{waiting}");
    let changed = daemon.message("changed: ");
    assert!(changed.ends_with("changed: owner.by, kernel.drain_interval, history.closes"), "{changed}");

    reload("owner: {by: uint}\nlog: {lvl: info}\n");
    let wrong = daemon.message("stays as it was: 2 mistakes");
    assert!(wrong.starts_with("observer: error: "), "{wrong}");
    assert!(daemon.message("observer.yaml:1:13: ").ends_with("did you mean `unit`?"));

    one_close("reload-observed")?;
    let closes = "observer_tcp_closes_total{cause=\"linger_zero\",first_close=\"local\",\
                  outcome=\"reset_sent\",owner=\"none\"}";
    let counted = eventually(DEADLINE, || daemon.value(closes).filter(|number| number != "0"));
    assert!(counted.is_some(), "the new settings are not in force");
    one_close("reload-observed")?;
    let pushed_out = eventually(DEADLINE, || {
        let (_, status) = ask(&mut Command::new(observer()), &daemon.socket);
        status.contains("1 of 1 closes").then_some(())
    });
    assert!(pushed_out.is_some(), "the history has other limits");
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// Runs the daemon as the unit does: an ordinary user with some capabilities, in the group that may query it.
fn query_group() -> Result<(), Failed> {
    if is_skipped() {
        return Ok(());
    }
    // Any group with a name.
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let mut named = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse::<u32>().ok()?))
    });
    let Some((name, gid)) = named.find(|(_, gid)| *gid != 0) else {
        eprintln!("service_query_group: no group has a name here, so that none can be given the socket");
        return Ok(());
    };
    let directory = directory("group")?;
    std::os::unix::fs::chown(&directory, Some(DAEMON), Some(DAEMON))?;
    let socket = directory.join("query.sock");
    let given: CapsHashSet = given().collect();
    let daemon = Daemon::start(|command| {
        command.arg("--socket").arg(&socket).args(["--socket-group", &name]);
        run_as(command, DAEMON, vec![gid.into()], given);
    })?;
    let found = std::fs::metadata(&socket)?;
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (DAEMON, gid, 0o660));

    // By its descriptor: other users may have no access to the executable's path.
    let executable = File::open(observer())?;
    let ask_as = |id: u32, groups: Vec<Gid>| {
        let mut command = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()));
        keep(&mut command, &executable);
        run_as(&mut command, id, groups, CapsHashSet::new());
        ask(&mut command, &socket)
    };
    for (who, id, groups) in
        [("a member", ASKER, vec![gid.into()]), ("the daemon's own user", DAEMON, Vec::new())]
    {
        let (code, said) = ask_as(id, groups);
        // The exit code depends on the daemon's health, which does not matter here.
        assert!(
            code.is_some_and(|code| code < 2) && said.contains("daemon: observer"),
            "{who}: {code:?} {said}"
        );
    }
    assert_eq!(ask_as(ASKER, Vec::new()), (Some(2), String::new()), "a user outside the group");
    drop(daemon);
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// Exit code and output of `observer status`.
fn ask(command: &mut Command, socket: &Path) -> (Option<i32>, String) {
    let output = command.args(["status", "--socket"]).arg(socket).output().expect("asking the daemon");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the command as this user and group, in these supplementary groups, with only these capabilities.
fn run_as(command: &mut Command, id: u32, groups: Vec<Gid>, rights: CapsHashSet) {
    let become_it = move || {
        // As in `limit`.
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).ok();
        setgroups(&groups)?;
        setresgid(id.into(), id.into(), id.into())?;
        set_keepcaps(true)?;
        setresuid(id.into(), id.into(), id.into())?;
        for set in [CapSet::Permitted, CapSet::Inheritable, CapSet::Effective, CapSet::Ambient] {
            caps::set(None, set, &rights).map_err(std::io::Error::other)?;
        }
        Ok(())
    };
    // SAFETY: as in `limit`.
    unsafe {
        command.pre_exec(become_it);
    }
}

/// Keeps a descriptor open for the program.
fn keep(command: &mut Command, descriptor: &File) {
    let descriptor = descriptor.as_raw_fd();
    // SAFETY: one system call, on a descriptor that the caller keeps open.
    unsafe {
        command.pre_exec(move || {
            let descriptor = BorrowedFd::borrow_raw(descriptor);
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        });
    }
}

/// Makes a directory for this test.
pub(crate) fn directory(test: &str) -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("observer-{}-{test}", std::process::id()));
    std::fs::create_dir(&path)?;
    Ok(path)
}
