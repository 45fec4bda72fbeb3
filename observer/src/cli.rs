//! The command line: one file per command, shared arguments in `args`.

mod args;
mod check;
mod closes;
mod completions;
mod config;
mod explain;
mod half_closed;
mod history_range;
mod man;
mod output;
mod replay;
mod run;
mod status;
mod terminal;
mod top;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::output::is_broken_pipe;

/// Shows how TCP connections end: who closed, what was lost, and which process got the error.
///
/// Each connection that ends on this host gets one verdict with the cause, the process and the lost bytes. Each failing
/// write gets the close that caused it. Results go to stdout, messages to stderr.
///
/// Exit status: 0 done, 1 no match or a check failed, 2 error
#[derive(Debug, Parser)]
#[command(name = "observer", version, propagate_version = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // The help of each command is with its arguments. A doc comment here would replace it.
    Trace(trace::TraceArgs),
    Run(run::RunArgs),
    Closes(closes::ClosesArgs),
    Errors(closes::ErrorsArgs),
    Top(top::TopArgs),
    Explain(explain::ExplainArgs),
    Status(status::StatusArgs),
    Replay(replay::ReplayArgs),
    HalfClosed(half_closed::HalfClosedArgs),
    Check(check::CheckArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever ends the command early; `main` prints it and exits with status 2.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Trace(args) => trace::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Closes(args) => closes::closes(&args),
        Command::Errors(args) => closes::errors(&args),
        Command::Top(args) => top::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::HalfClosed(args) => half_closed::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
