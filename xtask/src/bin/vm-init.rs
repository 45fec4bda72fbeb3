//! The first process of a virtual machine of `cargo xtask vm`. In: the kernel tests' arguments and environment, from
//! the kernel's command line. Out: on the console what they write, and the end of the machine when they end.
//!
//! Never used outside a virtual machine: it is told by being process 1.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the console is all there is")]

#[path = "../vm/guest.rs"]
mod guest;
#[path = "../vm/inside.rs"]
mod inside;

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::wait::wait;

nix::ioctl_read_bad!(
    /// Reads an interface's flags.
    interface_flags, libc::SIOCGIFFLAGS, libc::ifreq
);
nix::ioctl_write_ptr_bad!(
    /// Sets an interface's flags.
    set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq
);

/// Type and place.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!(
            "vm-init: this is the first process of a virtual machine of `cargo xtask vm` and of no use here"
        );
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => inside::leave(),
        Err(error) => println!("vm-init: {error:#}"),
    }
    // Reached only where something went wrong: QEMU ends with 0, which the lab takes for no result.
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => {
            println!("vm-init: cannot power off: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    for folder in ["/run", "/tmp"] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
    }
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    inside::load_modules()?;
    loopback_up().context("cannot bring the loopback up")?;

    let mut tests = Command::new(guest::TESTS);
    tests.args(std::env::args_os().skip(1));
    tests.env("OBSERVER_TEST_BIN", guest::OBSERVER).env("PATH", "/bin").current_dir("/tmp");
    // A session without the console's signals.
    // SAFETY: setsid(2) is all that happens between fork and exec.
    unsafe { tests.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from)) };
    let tests = tests.spawn().with_context(|| format!("cannot start {}", guest::TESTS))?;
    // Everything whose parent has ended is ours to wait for.
    loop {
        let ended = wait().context("cannot wait for the tests")?;
        if ended.pid().is_some_and(|pid| pid.as_raw().cast_unsigned() == tests.id()) {
            println!("vm-init: the tests have ended: {ended:?}");
            return Ok(());
        }
    }
}

fn loopback_up() -> Result<()> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: both calls are given an ifreq with a name, and the first fills in the member that is changed.
    unsafe {
        interface_flags(any.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_flags |= libc::c_short::try_from(libc::IFF_UP)?;
        set_interface_flags(any.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}
