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

/// Every row; the letters and numbers are those of the scenarios in docs/scenarios.md.
const ROWS: &[Row] = &[
    Row { name: "a1", run: rows::a::a1 },
    Row { name: "a2", run: rows::a::a2 },
    Row { name: "a3_sigkill", run: rows::a::a3_sigkill },
    Row { name: "a3_sigterm", run: rows::a::a3_sigterm },
    Row { name: "a4", run: rows::a::a4 },
    Row { name: "a5", run: rows::a::a5 },
    Row { name: "a6", run: rows::a::a6 },
    Row { name: "a7", run: rows::a::a7 },
    Row { name: "a8", run: rows::a::a8 },
    Row { name: "a9", run: rows::a::a9 },
    Row { name: "b1", run: rows::b::b1 },
    Row { name: "b4", run: rows::b::b4 },
    Row { name: "b5", run: rows::b::b5 },
    Row { name: "b6", run: rows::b::b6 },
    Row { name: "b7", run: rows::b::b7 },
    Row { name: "b8_keepalive", run: rows::b::b8_keepalive },
    Row { name: "b8_user_timeout", run: rows::b::b8_user_timeout },
    Row { name: "b8_unreachable", run: rows::b::b8_unreachable },
    Row { name: "c1", run: rows::c::c1 },
    Row { name: "c2", run: rows::c::c2 },
    Row { name: "c3", run: rows::c::c3 },
    Row { name: "c4", run: rows::c::c4 },
    Row { name: "c5", run: rows::c::c5 },
    Row { name: "c6", run: rows::c::c6 },
    Row { name: "c7", run: rows::c::c7 },
    Row { name: "c8", run: rows::c::c8 },
    Row { name: "c9", run: rows::c::c9 },
    Row { name: "c10", run: rows::c::c10 },
    Row { name: "d1", run: rows::d::d1 },
    Row { name: "d2", run: rows::d::d2 },
    Row { name: "d3", run: rows::d::d3 },
    Row { name: "d4", run: rows::d::d4 },
    Row { name: "d5", run: rows::d::d5 },
    Row { name: "e1", run: rows::e::e1 },
    Row { name: "e2", run: rows::e::e2 },
    Row { name: "f1", run: rows::f::f1 },
    Row { name: "f2", run: rows::f::f2 },
    Row { name: "f2_unacked", run: rows::f::f2_unacked },
    Row { name: "f3", run: rows::f::f3 },
    Row { name: "f4", run: rows::f::f4 },
    Row { name: "f5", run: rows::f::f5 },
    Row { name: "f6", run: rows::f::f6 },
    Row { name: "f7_listener", run: rows::f::f7_listener },
    Row { name: "f7_embryonic", run: rows::f::f7_embryonic },
    Row { name: "f8", run: rows::f::f8 },
    Row { name: "f9", run: rows::f::f9 },
    Row { name: "f12", run: rows::f::f12 },
    Row { name: "f13", run: rows::f::f13 },
    Row { name: "wire_fin_never_left", run: rows::on_the_wire::fin_never_left },
    Row { name: "wire_fin_waited", run: rows::on_the_wire::fin_waited },
    Row { name: "wire_shut_down_by_another", run: rows::on_the_wire::shut_down_by_another },
    Row { name: "wire_inherited", run: rows::on_the_wire::inherited },
    Row { name: "wire_unread_in_the_accept_queue", run: rows::on_the_wire::unread_in_the_accept_queue },
    Row { name: "wire_unread_at_disconnect", run: rows::on_the_wire::unread_at_disconnect },
    Row { name: "wire_started_after_the_fin", run: rows::on_the_wire::started_after_the_fin },
    Row { name: "wire_started_late_and_wrote", run: rows::on_the_wire::started_late_and_wrote },
    Row { name: "w1_sendfile", run: rows::write_errors::w1_sendfile },
    Row { name: "w1_first_page", run: rows::write_errors::w1_first_page },
    Row { name: "w2_sendfile", run: rows::write_errors::w2_sendfile },
    Row { name: "w3_splice", run: rows::write_errors::w3_splice },
    Row { name: "w4_killed", run: rows::write_errors::w4_killed },
    Row { name: "w5_reset_after_fin", run: rows::write_errors::w5_reset_after_fin },
    Row { name: "w6_icmp", run: rows::write_errors::w6_icmp },
    Row { name: "w7_fault", run: rows::write_errors::w7_fault },
    Row { name: "w8_given_up", run: rows::write_errors::w8_given_up },
    Row { name: "w9_already", run: rows::write_errors::w9_already },
];

/// The limit is the machine's, not the network namespace's.
const ORPHAN_LIMIT: &[Row] =
    &[Row { name: "f10", run: rows::f::f10 }, Row { name: "f11", run: rows::f::f11 }];

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

    let rows = ROWS.iter().flat_map(Row::trials).chain(ORPHAN_LIMIT.iter().flat_map(Row::lone_trials));
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
