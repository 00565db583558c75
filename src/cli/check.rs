//! `catproxy check`: what would run, or everything that is wrong.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use super::{
    logging::Logging,
    options::{Environment, Options},
};
use crate::config::report::Report;

/// Prints what would run to the standard output, or the problems to the standard error. Exits with 0 if it
/// would run, warnings or not, and with 1 otherwise.
pub fn run(options: &Options, environment: Environment<'_>) -> ExitCode {
    let loaded = Logging::load(environment).and_then(|_| options.load(environment));
    let (config, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(report) => return refuse(report, environment),
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let warned = warnings.iter().try_for_each(|warning| writeln!(err, "warning: {warning}"));
    let written = warned.and_then(|()| write!(out, "{}", config.report()));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the problems to the standard error, in colour where that is a terminal.
pub(super) fn refuse(report: Report, environment: Environment<'_>) -> ExitCode {
    let mut err = io::stderr().lock();
    let colour = err.is_terminal() && environment("NO_COLOR").is_none_or(|value| value.is_empty());
    let report = report.coloured(colour);
    let problems = if report.count() == 1 { "problem" } else { "problems" };
    // Where nobody can read it, the exit code still tells.
    let _ = writeln!(err, "{report}\n\n{} {problems}; it does not run", report.count());
    ExitCode::FAILURE
}
