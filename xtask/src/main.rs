//! The project's tasks, run as `cargo xtask TASK`. In: the task's name. Out: what a developer, the README and CI do
//! with this repository, by one set of commands. Nothing here is part of the product.

#![expect(
    clippy::print_stderr,
    reason = "the tasks tell a person at a terminal what they do; stdout is the children's"
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
    /// Provide the eBPF compiler and bpf-linker, and what the tests watch and run in; says nothing where all is there
    Setup,
    /// Build the observer and run it in this terminal, with root's rights
    Run {
        /// Provoke a handful of closes on the loopback once the observer is ready
        #[arg(long)]
        demo: bool,
        /// Passed on to `observer run`
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Provoke the demonstration's closes, for an observer that runs already
    Demo {
        /// Pass on the messages that come in on stdin, and wait for the one that says `ready`
        #[arg(long, hide = true)]
        after_ready: bool,
    },
    /// Run every test, those against the running kernel last; these need root
    Test {
        /// Only this: Debian's Prometheus scrapes the daemon during so many minutes of mixed traffic, and what it has
        /// stored must be the verdicts
        #[arg(long, value_name = "MINUTES", conflicts_with = "filter")]
        soak: Option<NonZeroU32>,
        /// Passed on to the test programs: a filter, or options such as `--nocapture`
        #[arg(last = true, value_name = "FILTER")]
        filter: Vec<String>,
    },
    /// Run the tests against the kernel on kernels of several ages, each in a virtual machine; needs no root
    Vm(vm::Options),
    /// Install the service in a Debian with systemd, in a virtual machine, and check what it promises
    Service,
    /// Measure what the observer costs, beside its peers and beside nobody watching; needs root
    Bench(bench::Options),
    /// The work of the benchmarks
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
