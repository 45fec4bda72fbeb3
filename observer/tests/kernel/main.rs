//! The scenarios on a real kernel: real sockets of real processes, a real observer watching them.
//!
//! Each test is one row (what two processes do with a connection) or one timeline (what a peer of our own making sends
//! to the socket of a process) on one address family. It runs in a network namespace of its own and holds three things
//! against each other: what the system calls answered, what the observer reported, and what the kernel counted. Nothing
//! but the expected lines may be reported, and the counters must move by exactly what the row says.
//!
//! Needs root. Run with `cargo test --test kernel`; names, filters and `--test-threads` work as for any test.
//!
//! The environment can say:
//! - `OBSERVER_TEST_KERNEL_ONLY=1`: no observer, only the system calls and the counters;
//! - `OBSERVER_TEST_SHARED=1`: one observer for all tests;
//! - `OBSERVER_TEST_SLOWER=4`: what a test measures may take four times as long;
//! - `OBSERVER_TEST_BIN`: another observer than the one just built;
//! - `OBSERVER_TEST_PAIRS=1`: of what each row recorded, two records at a time are left out too, not only one;
//! - `OBSERVER_TEST_RECORDINGS=DIR`: what each row recorded of its own namespace stays there;
//! - `OBSERVER_TEST_SEED`: the random connections of an earlier run once more;
//! - `OBSERVER_TEST_SOAK=600`: Prometheus scrapes the daemon during ten minutes of mixed traffic.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "in a test a panic is the way to fail, and the messages are for the person who runs it"
)]

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::row::Row;

mod actor;
mod again;
mod audit;
mod counters;
mod daemon;
mod destroy;
mod end;
mod event_log;
mod full;
mod gauges;
mod half_closed;
mod lab;
#[path = "../support/leave_out.rs"]
mod leave_out;
mod loaded;
mod lossy;
mod netns;
mod peer;
mod prometheus;
mod queries;
mod random;
mod raw;
mod real;
mod recorded;
mod report;
mod row;
mod rows;
#[path = "../support/prometheus.rs"]
mod server;
mod service;
mod shared;
mod sight;
mod timelines;
#[path = "../support/traceless.rs"]
mod traceless;
mod wait;
mod watch;
mod who;
mod witness;

/// Tests at a time. Each starts an observer, which loads its programs into the kernel.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(actor::WORD) => return actor::child::run(&words.next().expect("an actor is given its name")),
        Some(random::driver::WORD) => {
            let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
            return random::driver::run(number(), number(), number());
        }
        _ => {}
    }

    let mut arguments = Arguments::from_args();
    if !arguments.list && !nix::unistd::geteuid().is_root() {
        eprintln!(
            "the kernel tests make network namespaces and load programs into the kernel: run them as root"
        );
        return ExitCode::from(2);
    }
    arguments.test_threads.get_or_insert(THREADS);

    let rows = rows::rows().flat_map(Row::trials).chain(rows::lone_rows().flat_map(Row::lone_trials));
    let trials = rows
        // In the lab's slow machines on one address family: what differs there is the kernel.
        .chain(
            timelines::rows()
                .flat_map(Row::trials)
                .filter(|timeline| !(shared::wanted() && timeline.name().ends_with("::ipv6"))),
        )
        .chain(real::ROWS.iter().flat_map(Row::trials))
        .chain(loaded::trials())
        .chain(who::ROWS.iter().map(Row::ipv4_trial))
        .chain([
            random::trial(),
            gauges::trial(),
            audit::trial(),
            full::trial(),
            event_log::trial(),
            queries::trial(),
            prometheus::trial(),
        ])
        .chain(half_closed::trials())
        .chain(service::trials())
        .chain(lossy::trials())
        .collect();
    row::note_panics();
    let conclusion = libtest_mimic::run(&arguments, trials);
    witness::dismiss();
    if recorded::replayed() > 0 {
        eprintln!("{} replays with records left out", recorded::replayed());
    }
    if shared::ends_well() { conclusion.exit_code() } else { ExitCode::FAILURE }
}
