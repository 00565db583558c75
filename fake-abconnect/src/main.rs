//! The stand-in as a program.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fake_abconnect::{
    Close, FakeAbconnect, Generation, Knobs, Matching, Options, Rule, Running, User, WrongJson,
};
use jiff::civil::Date;

/// A stand-in for the ABConnect Catalog API and its identity server, with made-up data.
///
/// Everything is held in memory and forgotten at the end. The key that signs its tokens is published: use it for demos,
/// tests and benchmarks only.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081", env = "FAKE_ABCONNECT_LISTEN")]
    listen: SocketAddr,
    /// The base of picture links and the issuer of tokens, if clients reach it by another address.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Which generation of the API to speak.
    #[arg(long, value_enum, default_value = "1")]
    generation: Generation,
    /// How many sellers there are; each has about seven catalogs.
    #[arg(long, default_value_t = 730)]
    sellers: usize,
    /// The same seed and day give the same data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The day around which catalogs are scheduled [default: today, in UTC].
    #[arg(long, value_name = "YYYY-MM-DD")]
    today: Option<Date>,
    /// How long tokens are valid, in seconds.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    token_lifetime: u64,
    /// Make access tokens about so long; real ones have some kilobytes.
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    token_bytes: usize,
    /// Answer API requests so many milliseconds later.
    #[arg(long, value_name = "MS")]
    latency: Option<u64>,
    /// Answer API requests with this status.
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..1000))]
    status: Option<u16>,
    /// Never answer API requests.
    #[arg(long)]
    hang: bool,
    /// Break the bodies of API answers off after so many bytes.
    #[arg(long, value_name = "BYTES")]
    truncate: Option<usize>,
    /// Send the bodies of API answers chunked.
    #[arg(long)]
    chunked: bool,
    /// Answer API requests with JSON that is not what it should be.
    #[arg(long, value_enum, value_name = "HOW")]
    wrong_json: Option<WrongJson>,
    /// Answer API requests with a page of HTML.
    #[arg(long)]
    html: bool,
    /// What happens to the connection after an API answer, or instead of one.
    #[arg(long, value_enum, value_name = "HOW")]
    close: Option<Close>,
    /// Misbehave (the flags from --latency on) only where the path starts with this.
    #[arg(long, value_name = "PREFIX")]
    only_path: Option<String>,
    /// Misbehave only towards this method.
    #[arg(long, value_name = "METHOD")]
    only_method: Option<String>,
    /// Misbehave so many times, then no more.
    #[arg(long)]
    times: Option<u64>,
    /// A greater page size counts as this one.
    #[arg(long, default_value_t = 500)]
    max_page_size: usize,
    /// Compress with gzip where the client allows it.
    #[arg(long)]
    gzip: bool,
    /// Compress with Brotli where the client allows it.
    #[arg(long)]
    brotli: bool,
    /// Do not keep a log of calls (`GET /_fake/calls`): for benchmarks.
    #[arg(long)]
    no_log: bool,
}

impl Flags {
    fn options(self) -> Options {
        let rule = Rule {
            on: Matching { path: self.only_path, method: self.only_method, query: None },
            latency_ms: self.latency,
            status: self.status,
            hang: self.hang,
            truncate: self.truncate,
            chunked: self.chunked,
            wrong_json: self.wrong_json,
            html: self.html,
            close: self.close,
            times: self.times,
            ..Rule::default()
        };
        let does_nothing = rule == Rule { on: rule.on.clone(), times: rule.times, ..Rule::default() };
        Options {
            listen: self.listen,
            generation: self.generation,
            seed: self.seed,
            sellers: self.sellers,
            today: self.today,
            token_lifetime: Duration::from_secs(self.token_lifetime),
            token_bytes: self.token_bytes,
            public_url: self.public_url,
            log_calls: !self.no_log,
            knobs: Knobs {
                max_page_size: self.max_page_size,
                gzip: self.gzip,
                brotli: self.brotli,
                rules: if does_nothing { Vec::new() } else { vec![rule] },
                ..Knobs::default()
            },
            ..Options::default()
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody can read it, the exit code still tells.
            let _ = writeln!(io::stderr().lock(), "error: the stand-in does not run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let options = Flags::parse().options();
    let users = options.users.clone();
    let running = FakeAbconnect::start(options)?;
    greet(&running, &users)?;
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(())
}

/// Says what one needs to call it.
fn greet(running: &Running, users: &[User]) -> io::Result<()> {
    let url = running.url();
    let mut out = io::stdout().lock();
    writeln!(out, "Catalog API     {url}/api")?;
    writeln!(out, "Tokens          {url}/connect/token  (any client_id)")?;
    writeln!(out, "Knobs and calls {url}/_fake/knobs {url}/_fake/calls")?;
    for user in users {
        writeln!(out, "User            {} / {} ({:?})", user.name, user.password, user.access)?;
    }
    writeln!(out, "\nA token of {}:", users.first().map_or("demo", |user| user.name.as_str()))?;
    writeln!(out, "{}", running.token(users.first().map_or("demo", |user| user.name.as_str())))?;
    out.flush()
}
