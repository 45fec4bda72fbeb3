//! Parse, run, one error print, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use observer::cli;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return fail(&cli::one_line(&error)),
        // Help and version are what was asked for.
        Err(shown) => shown.exit(),
    };
    match cli::run(args) {
        Ok(code) => code,
        // A reader such as `head` that has seen enough is no error.
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    observer::console_log::print_error(message);
    ExitCode::from(2)
}
