//! The command line: what can be asked of the program, and with which options.

pub mod bench;
pub mod check;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
pub mod logging;
pub mod operator;
pub mod options;
mod packaging;
mod project;
mod serve;
mod service;
mod signals;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::config::report::masked;
#[cfg(feature = "demo")]
use crate::config::{
    Config,
    check::{self as check_config, Origin, Overrides, Setting},
    profile::Profile,
    report::{Report, Warning},
};
use bench::options::Bench;
use options::Options;

/// Does what the command line asks for, or says what is wrong with it; whatever stands in the wrong place there, no user
/// and password of a URL is repeated.
#[must_use]
pub fn run() -> ExitCode {
    let error = match Cli::try_parse() {
        Ok(cli) => return cli.run(),
        Err(error) => error,
    };
    let code = u8::try_from(error.exit_code()).unwrap_or(u8::MAX);
    let (stderr, rendered) = (io::stderr(), error.render());
    // Where nobody can read it, the exit code tells.
    let _ = if !error.use_stderr() {
        error.print()
    } else if stderr.is_terminal() {
        write!(stderr.lock(), "{}", masked(&rendered.ansi().to_string()))
    } else {
        write!(stderr.lock(), "{}", masked(&rendered.to_string()))
    };
    ExitCode::from(code)
}

/// A caching reverse proxy for the ABConnect Catalog API.
///
/// Lists of sellers and of a seller's catalogs are answered from a cache of only the fields that are needed;
/// every other request goes to the API untouched.
#[derive(Debug, Parser)]
#[command(name = "catproxy", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Does it, and says by its exit code how that went: 0 well, 1 it could not begin, 3 it was stopped
    /// and had to cut off what took too long.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let environment = |name: &str| std::env::var_os(name);
        match self.command {
            Command::Serve(options) => serve::run(&options, &environment),
            Command::Check(options) => check::run(&options, &environment),
            Command::Project(options) => project::run(&options, &environment),
            Command::Bench(options) => bench::run(&options, &environment),
            Command::Status(options) => operator::status(&options, &environment),
            Command::Purge(options) => operator::purge(&options, &environment),
            Command::Completions(options) => packaging::completions(&options),
            Command::Man(options) => packaging::man(&options),
            #[cfg(feature = "demo")]
            Command::Demo(options) => demo::run(&options, &environment),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy until it is told to stop
    #[command(after_help = "Example: catproxy serve --profile catalog-ui --redis-url redis://cache:6379")]
    Serve(Options),
    /// Say what `serve` would run, or everything that is wrong with the configuration
    #[command(
        after_help = "Example: catproxy check --config my.toml\nExits with 0 if it would run, else with 1."
    )]
    Check(Options),
    /// Read a page of the upstream's JSON from the standard input and write what a route keeps of it
    #[command(after_help = "Example: catproxy project --route catalogs < page.json")]
    Project(Project),
    /// Measure cold and warm reads of a proxy that runs
    #[command(after_help = bench::options::HELP)]
    Bench(Bench),
    /// Say how a proxy is that runs, by its admin listener
    #[command(
        after_help = "Example: catproxy status --url http://127.0.0.1:9180\nExits with 0 where it takes requests, else with 1."
    )]
    Status(operator::Status),
    /// Empty the cache of a proxy that runs, by its admin listener
    #[command(after_help = "Example: catproxy purge --route sellers")]
    Purge(operator::Purge),
    /// Write what completes the arguments of `catproxy` in a shell
    #[command(
        after_help = "Example: catproxy completions bash > /usr/share/bash-completion/completions/catproxy"
    )]
    Completions(packaging::Completions),
    /// Write a man page: of `catproxy`, or of one of its commands
    // Of use to who makes a package, once.
    #[command(hide = true, after_help = "Example: catproxy man serve > catproxy-serve.1")]
    Man(packaging::Man),
    /// Run the proxy before a stand-in upstream, with entries in memory: nothing else is needed
    #[cfg(feature = "demo")]
    #[command(after_help = "Example: catproxy demo --latency 150ms")]
    Demo(Demo),
}

/// The options of `project`.
#[derive(Debug, Args)]
pub struct Project {
    /// The route whose fields are kept, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub route: String,
    /// Which configuration.
    #[command(flatten)]
    pub options: Options,
}

/// The options of `demo`.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Keep entries in this Redis, not in memory
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Which generation of the API the stand-in speaks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub generation: u8,
    /// How long the stand-in takes for an answer
    #[arg(long, value_name = "TIME", default_value = "150ms", value_parser = options::duration)]
    pub latency: std::time::Duration,
}

#[cfg(feature = "demo")]
impl Demo {
    /// Reads the demo's configuration, with the stand-in's base URL in its place. The environment has no say.
    ///
    /// # Errors
    ///
    /// A flag's value is not usable.
    pub fn load(&self, stand_in: String) -> Result<(Config, Vec<Warning>), Report> {
        let flag = |name, value| Some(Setting { value, origin: Origin::Flag(name) });
        let overrides = Overrides {
            listen: flag("--listen", self.listen.clone()),
            upstream: flag("the stand-in", stand_in.clone()),
            ui_identity: flag("the stand-in", stand_in),
            // The stand-in takes any.
            ui_client_id: flag("the demo", "catproxy-demo".to_owned()),
            ui_client_secret: flag("the demo", "demo".to_owned()),
            redis_url: self.redis_url.clone().and_then(|url| flag("--redis-url", url)),
            ..Overrides::default()
        };
        check_config::load(Profile::Demo.source(), overrides)
    }
}
