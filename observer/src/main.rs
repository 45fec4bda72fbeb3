//! Parse, run, one error print, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use observer::cli;

fn main() -> ExitCode {
    match cli::run(cli::Args::parse()) {
        Ok(code) => code,
        // A reader such as `head` that has seen enough is no error.
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one place where an error is printed")]
            {
                eprintln!("observer: {error:#}");
            }
            ExitCode::from(2)
        }
    }
}
