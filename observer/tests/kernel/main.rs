//! The scenarios on a real kernel: real sockets of real processes, a real observer watching them.
//!
//! Each test is one row or one timeline, on one address family. In a row two processes use a connection. In a timeline
//! the tests' own peer sends segments to the socket of a process. A test runs in its own network namespace. It compares
//! the results of the system calls, the observer's reports, and the kernel's counters. Only the expected lines may be
//! reported, and the counters must move by exactly what the row says.
//!
//! The tests need root. Run them with `cargo test --test kernel`; names, filters and `--test-threads` work as for any
//! test.
//!
//! Environment variables:
//! - `OBSERVER_TEST_KERNEL_ONLY=1`: run without an observer, and check only the system calls and the counters;
//! - `OBSERVER_TEST_SHARED=1`: use one observer for all tests;
//! - `OBSERVER_TEST_SLOWER=4`: times that a test measures may be four times as long;
//! - `OBSERVER_TEST_BIN`: path of the observer to test, instead of the one just built;
//! - `OBSERVER_TEST_PAIRS=1`: replay each row's recording also without each pair of records, not only without each one;
//! - `OBSERVER_TEST_RECORDINGS=DIR`: keep each row's recording of its own namespace in this directory;
//! - `OBSERVER_TEST_SEED`: repeat the random connections of an earlier run;
//! - `OBSERVER_TEST_SOAK=600`: let Prometheus scrape the daemon during ten minutes of mixed traffic.

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
mod audit;
mod counters;
mod daemon;
mod destroy;
mod end;
mod event_log;
mod gauges;
mod half_closed;
mod hidden_events;
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
mod retry;
mod row;
mod rows;
mod send_buffer_full;
#[path = "../support/prometheus.rs"]
mod server;
mod service;
mod shared;
mod timelines;
#[path = "../support/traceless.rs"]
mod traceless;
mod visibility;
mod wait;
mod watch;
mod who;

/// Tests that run at the same time. Each starts an observer, which loads its programs into the kernel.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(actor::WORD) => return actor::child::run(&words.next().expect("an actor has a name")),
        Some(random::driver::WORD) => {
            let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
            return random::driver::run(number(), number(), number());
        }
        _ => {}
    }

    let mut arguments = Arguments::from_args();
    if !arguments.list && !nix::unistd::geteuid().is_root() {
        eprintln!(
            "the kernel tests create network namespaces and load programs into the kernel: run them as root"
        );
        return ExitCode::from(2);
    }
    arguments.test_threads.get_or_insert(THREADS);

    let rows = rows::rows().flat_map(Row::trials).chain(rows::lone_rows().flat_map(Row::lone_trials));
    let trials = rows
        // The lab's machines are slow, and only the kernel differs there: timelines run on IPv4 alone.
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
            send_buffer_full::trial(),
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
    hidden_events::stop_trace();
    if recorded::replayed() > 0 {
        eprintln!("{} replays with records left out", recorded::replayed());
    }
    if shared::ends_well() { conclusion.exit_code() } else { ExitCode::FAILURE }
}
