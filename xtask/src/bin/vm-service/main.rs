//! The checks of the service, in the virtual machine of `cargo xtask service`. In: a Debian with systemd, and a
//! checkout. Out: one line a check on the console, and the end of the machine.
//!
//! Never used outside: it installs a service and kills it. The kernel's command line must hold a word for it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the console is all there is")]

mod daemon;
mod disk;
mod event_log;
mod files;
mod group;
mod journal;
mod kernel;
mod metrics;
mod reload;
mod restart;
mod sandbox;
mod start;
mod systemd;
mod verdict;
mod wait;

#[expect(dead_code, reason = "the rest is for the machines of the kernel tests")]
#[path = "../../vm/guest.rs"]
mod guest;
#[path = "../../vm/inside.rs"]
mod inside;
#[path = "../../vm/service/guest.rs"]
mod service;

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;

use anyhow::Result;
use nix::libc;

/// Name, and what gives its evidence.
type Check = (&'static str, fn() -> Result<String>);

/// In this order: each finds the service as the one before leaves it.
const CHECKS: [Check; 23] = [
    ("install", start::install),
    ("active", start::active),
    ("unit", start::unit),
    ("user", sandbox::user),
    ("capabilities", sandbox::capabilities),
    ("seccomp", sandbox::seccomp),
    ("exposure", sandbox::exposure),
    ("scrape", metrics::scraped),
    ("verdict", verdict::told),
    ("reload", reload::good),
    ("event_log", event_log::kept),
    ("reload_bad", reload::bad),
    ("kill", restart::killed),
    ("stop", restart::stopped),
    ("start_bad", reload::bad_start),
    ("full_disk", disk::full),
    ("watchdog", restart::hung),
    ("no_loop", restart::counted),
    ("group", group::socket),
    ("group_member", group::member),
    ("group_stranger", group::stranger),
    ("messages", journal::messages),
    ("files", files::nowhere_else),
];

/// What explains a failure, without the many entries of the event log.
fn show_journal() {
    match systemd::output("journalctl", &["-q", "-u", systemd::UNIT, "-o", "short-monotonic", "-n", "300"]) {
        Ok(lines) => {
            for line in lines.lines().filter(|line| !line.contains("vm-service[")) {
                println!("{line}");
            }
        }
        Err(error) => println!("no journal: {error:#}"),
    }
}

fn main() -> ExitCode {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if !words.split_whitespace().any(|word| word == service::WORD) {
        eprintln!(
            "vm-service: this changes the system it runs on, and is meant for `cargo xtask service` alone"
        );
        return ExitCode::from(2);
    }
    let mut has_failed = false;
    for (name, check) in CHECKS {
        let (word, told) = match check() {
            Ok(evidence) => (service::OK, evidence),
            Err(error) => {
                has_failed = true;
                (service::FAILED, format!("{error:#}"))
            }
        };
        let told: Vec<_> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // What comes before is for who reads the console.
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = uptime.split_whitespace().next().unwrap_or_default();
        println!("[{uptime:>6}] {} {word} {name}: {}", service::LINE, told.join("; "));
    }
    if has_failed {
        show_journal();
    }
    println!("{} {} {}", service::LINE, service::DONE, CHECKS.len());
    // SAFETY: waits until the console has it all; whether it can is of no matter.
    unsafe { libc::tcdrain(io::stdout().as_raw_fd()) };
    inside::leave();
    eprintln!("vm-service: this machine has no device to end it by");
    ExitCode::FAILURE
}
