//! The command line: one file a command.

mod args;
mod check;
mod closes;
mod completions;
mod config;
mod explain;
mod half_closed;
mod man;
mod output;
mod replay;
mod run;
mod status;
mod terminal;
mod top;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};

pub use self::output::is_broken_pipe;

/// Tells how TCP connections end: who closed them, what was lost, which process was told.
///
/// Every connection that ends on this host gets one verdict with its cause, its process and the bytes it lost;
/// every failing write gets the close that caused it. Results go to stdout, messages to stderr.
///
/// Exit status: 0 done, 1 nothing matched or a check failed, 2 an error.
#[derive(Debug, Parser)]
#[command(name = "observer", version, propagate_version = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // Each is documented where its arguments are: a line here would hide the paragraphs there.
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

/// Runs what was typed. An error is for `main` to print.
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

/// What is wrong with the arguments, in one line: clap's message and tips without its usage text.
#[must_use]
pub fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing, such as trace, run or closes; --help lists them".to_owned();
    }
    let text = error.render().to_string();
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<_> =
        said.filter(|line| !line.is_empty()).map(|line| line.trim_start_matches("error: ")).collect();
    let message = said.join("; ");
    if message.contains("--help") { message } else { format!("{message}; --help tells more") }
}
