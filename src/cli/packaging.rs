//! `catproxy completions` and `catproxy man`: what a package holds beside the program, as the program knows it.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// The exit code that clap has for them.
const WRONG_ARGUMENTS: u8 = 2;

/// The options of `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// The options of `man`.
#[derive(Args, Debug)]
pub struct Man {
    /// Of which command; of `catproxy` itself where none is named
    #[arg(value_name = "COMMAND")]
    pub of: Option<String>,
}

/// Writes the script to the standard output.
pub(super) fn completions(options: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "catproxy", &mut script);
    written(&script)
}

/// Writes the page to the standard output, or what there is where there is no such command.
pub(super) fn man(options: &Man) -> ExitCode {
    // A page of `help` would say nothing.
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let command = match &options.of {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(command) = command else {
        let there: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
        // Where nobody can read it, the exit code tells.
        let _ =
            writeln!(io::stderr().lock(), "error: there is no such command; there are {}", there.join(", "));
        return ExitCode::from(WRONG_ARGUMENTS);
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(command.clone()).manual("catproxy").render(&mut page) {
        Ok(()) => written(&page),
        Err(_) => ExitCode::FAILURE,
    }
}

fn written(text: &[u8]) -> ExitCode {
    // Where nobody takes it, the exit code tells.
    if io::stdout().lock().write_all(text).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
