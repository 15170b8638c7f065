//! `tidemarkctl`: projects, plans, connections, keys and usage from the command line.
//!
//! It speaks the management API and nothing else, so it can do what the token that it is given may do. The way of a
//! command: [`arguments`] reads it, [`calls`] says which request it is and how its answer is shown, [`api`] sends it,
//! [`show`] prints it.
//!
//! Exit codes: 0; 1 where the API refused or could not be reached; 2 where the command itself is wrong.

mod api;
mod arguments;
mod calls;
mod demo;
mod error;
mod show;

use arguments::{Arguments, Command};
use clap::{CommandFactory, FromArgMatches};
use error::Error;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments.with_sources(&matches),
        Err(error) => error.exit(),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for line in error.advice() {
                eprintln!("       {line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    if matches!(arguments.command, Command::Demo) {
        return print(&demo::make(arguments)?);
    }
    let call = calls::of(&arguments.command)?;
    let token = arguments.token_for(call.needs)?;
    let answer = api::Api::new(&arguments.url, token)?.send(&call)?;
    let text = if arguments.json { answer.text } else { show::answer(&call.shape, &answer.json) };
    print(&text)
}

fn print(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Ok(());
    }
    // A reader that has seen enough is no fault.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end());
    Ok(())
}
