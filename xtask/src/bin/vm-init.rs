//! The first process of a virtual machine of `cargo xtask vm`.
//!
//! It runs the kernel tests with arguments and environment from the kernel's command line. Their output goes to the
//! console. When they end, it ends the machine. It refuses to run if it is not process 1.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the machine has only a console")]

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

/// Type and mount point of each file system.
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
        eprintln!("vm-init: runs only as the first process of a virtual machine; use `cargo xtask vm`");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => inside::leave(),
        Err(error) => println!("vm-init: {error:#}"),
    }
    // Reached only after a failure. QEMU then ends with 0, which the lab treats as no result.
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
    // A new session gets no signals from the console.
    // SAFETY: only setsid(2) runs between fork and exec.
    unsafe { tests.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from)) };
    let tests = tests.spawn().with_context(|| format!("cannot start {}", guest::TESTS))?;
    // Process 1 must also wait for processes whose parent has ended.
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
    // SAFETY: ifreq is plain data, for which zeros are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: both calls get an ifreq with a name, and the first one fills in the member that is changed.
    unsafe {
        interface_flags(any.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_flags |= libc::c_short::try_from(libc::IFF_UP)?;
        set_interface_flags(any.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}
