//! `tidemarkctl` manages projects, plans, connections and keys, and shows usage, from the command line.
//!
//! It uses only the management API, so its rights are those of the token. [`arguments`] parses a command,
//! [`calls`] maps it to a request and to the presentation of the response, [`api`] sends the request, and
//! [`render`] formats the response.
//!
//! Exit codes: 0 for success, 1 if the API rejected the request or was unreachable, 2 for wrong usage.

mod api;
mod arguments;
mod calls;
mod demo;
mod error;
mod render;
mod token;

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
        print(&demo::create(arguments)?);
        return Ok(());
    }
    let call = calls::for_command(&arguments.command)?;
    let token = arguments.token_for(call.token)?;
    let response = api::Api::new(&arguments.url, token)?.send(&call)?;
    let text = if arguments.json { response.text } else { render::response(&call.view, &response.json) };
    print(&text);
    Ok(())
}

fn print(text: &str) {
    if text.is_empty() {
        return;
    }
    // Writing fails if the reader closed the pipe early (`| head`), which is not an error.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end());
}
