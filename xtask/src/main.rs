//! The project's tasks, run as `cargo xtask TASK`. Developers, the README and CI all use these commands. Nothing here
//! is part of the product.

#![expect(
    clippy::print_stderr,
    reason = "the tasks print their progress on a terminal; stdout belongs to their child processes"
)]

mod bench;
mod demo;
mod exec;
mod lint;
mod miri;
mod run;
mod setup;
mod test;
mod vm;

use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the eBPF toolchain and test dependencies; silent if complete
    Setup,
    /// Build the observer and run it in this terminal as root
    Run {
        /// Cause a few closes on the loopback interface once the observer is ready
        #[arg(long)]
        demo: bool,
        /// Arguments for `observer run`
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Cause the closes of the demonstration, for an observer that is already running
    Demo {
        /// Copy messages from stdin to stderr, and start after the one that contains `ready`
        #[arg(long, hide = true)]
        after_ready: bool,
    },
    /// Run every test; the kernel tests run last and need root
    Test {
        /// Run only the soak test: Prometheus scrapes the daemon for MINUTES of mixed traffic, and the stored values
        /// must match the verdicts
        #[arg(long, value_name = "MINUTES", conflicts_with = "filter")]
        soak: Option<NonZeroU32>,
        /// Arguments for the test programs: a filter, or options such as `--nocapture`
        #[arg(last = true, value_name = "FILTER")]
        filter: Vec<String>,
    },
    /// Run the kernel tests on several kernels, each in a virtual machine; needs no root
    Vm(vm::Options),
    /// Install the service in a virtual machine with Debian and systemd, and check its documented properties
    Service,
    /// Measure the cost of the observer, of similar tools, and of running without one; needs root
    Bench(bench::Options),
    /// Generate the load for the benchmarks
    #[command(hide = true)]
    BenchLoad(bench::load::Load),
    /// Check formatting, lints of both sides, documentation and manifests
    Lint(lint::Options),
    /// Run the unit tests of the code that reads raw bytes under Miri, which finds undefined behavior; takes minutes
    Miri,
    /// What must pass before a change is merged, without virtual machines: lint, then test
    Ci,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup => setup::everything(),
        Task::Run { demo, args } => run::run(demo, &args),
        Task::Demo { after_ready } => demo::run(after_ready),
        Task::Test { soak: Some(minutes), .. } => test::soak(minutes),
        Task::Test { soak: None, filter } => test::run(&filter),
        Task::Vm(options) => vm::run(&options),
        Task::Service => vm::service::run(),
        Task::Bench(options) => bench::run(&options),
        Task::BenchLoad(load) => bench::load::run(&load),
        Task::Lint(options) => lint::run(&options),
        Task::Miri => miri::run(),
        Task::Ci => lint::run(&lint::Options::default()).and_then(|()| test::run(&[])),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
