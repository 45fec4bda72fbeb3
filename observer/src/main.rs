//! Parse, run, print the error, exit.

use std::process::ExitCode;

use clap::Parser as _;
use observer::{cli, console_log};

fn main() -> ExitCode {
    // clap prints wrong arguments with the usage, and exits with status 2.
    match cli::run(cli::Args::parse()) {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is not an error.
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            console_log::print_error(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}
